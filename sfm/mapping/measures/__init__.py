"""Measures of a model: covisibility, residuals, contradictions, parts that may stand wrong, shifts."""
