"""Runs of engines: databases, choices of pairs, one mapper a process, one run a folder."""
