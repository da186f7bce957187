"""Checks of what comes from outside: names, numbers and documents that somebody else wrote."""
