"""Predictions from known geometry, in place of a network."""
