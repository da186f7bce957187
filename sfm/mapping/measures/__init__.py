"""Measures of a model: covisibility, residuals, contradictions, weakly connected parts, shifts."""
