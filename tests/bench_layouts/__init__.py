"""Loaders of benchmarks' datasets, on small copies in each dataset's layout."""
