"""Figures of models that only benches need."""
