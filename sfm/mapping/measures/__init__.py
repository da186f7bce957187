"""Measures of a model: covisibility, residuals, contradictions, inconsistent parts, shifts."""
