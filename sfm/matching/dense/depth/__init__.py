"""Depth and focal lengths from what the network predicts."""
