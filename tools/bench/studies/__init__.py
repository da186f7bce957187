"""Single parts measured by themselves, each a program of its own."""
