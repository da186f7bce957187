"""Similarities, directions, coordinates on Earth, and the pose of a pair of photos in metres."""
