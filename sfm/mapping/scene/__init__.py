"""What mapping is given: images, verified pairs and options, and the session that changes a model."""
