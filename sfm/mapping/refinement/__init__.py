"""Refinement of the models of registration."""
