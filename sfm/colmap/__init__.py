"""Databases and models of COLMAP, read with bounds and checked."""
