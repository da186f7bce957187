"""Models and where they stand: brought to ground truth, another model or GPS, and joined with each other."""

from .align import AlignedModel, align
from .merge import MergedModel, merge

__all__ = ["AlignedModel", "MergedModel", "align", "merge"]
