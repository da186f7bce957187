"""Models and where they stand: brought to ground truth, another model or GPS, and joined with each other."""

from .aligning import AlignedModel, align
from .merging import MergedModel, merge

__all__ = ["AlignedModel", "MergedModel", "align", "merge"]
