"""Which pairs of photos to match: retrieval, ranking, and what became of each."""
