"""Similarities, directions and coordinates on Earth."""
