"""Keypoints and tracks from dense matches of pairs."""
