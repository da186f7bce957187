"""What mapping is given: photos, verified pairs and options, and the session that changes a model."""
