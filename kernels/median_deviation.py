"""The standard deviation of normal errors by the median of their sizes, which outliers hardly move."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NORMAL = 1.4826
"""Standard deviation of normal errors, as a multiple of the median of their absolute values."""


def median_deviation(errors: npt.ArrayLike) -> float:
    """Standard deviation of errors about 0, of any shape; not a number for none."""
    return NORMAL * float(np.median(np.abs(errors)))
