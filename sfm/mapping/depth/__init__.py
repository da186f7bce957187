"""Depth of single images as evidence: points and poses where triangulation has nothing to go by."""
