"""The page of results: what was measured, and apart from it what others published."""
