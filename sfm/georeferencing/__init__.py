"""Known positions of photos, such as GPS: where a model stands, and priors of its adjustment."""
