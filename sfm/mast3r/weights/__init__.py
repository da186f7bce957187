"""Checkpoints: found, fetched, checked, converted and kept."""
