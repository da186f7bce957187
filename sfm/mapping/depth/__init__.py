"""Depth of single photos as evidence: points and poses where triangulation has nothing to go by."""
