"""Models as files: COLMAP's own, and what trainers and viewers read."""
