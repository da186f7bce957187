"""The stages of a run, as functions over a session."""
