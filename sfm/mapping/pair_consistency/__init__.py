"""What verified pairs show without a model: missing correspondences, rotations, inconsistent pairs."""
