"""The last adjustment of models that are kept."""
