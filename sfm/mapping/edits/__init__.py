"""Edits of grown models: merging, splitting, relocating parts, admitting deferred pairs."""
