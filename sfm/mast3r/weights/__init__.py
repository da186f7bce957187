"""Checkpoints: found, fetched, checked, and kept."""
