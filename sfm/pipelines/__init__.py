"""One command, one file: what `sfm` does, as functions."""
