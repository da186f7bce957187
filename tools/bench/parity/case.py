"""One comparison with a fixture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Case:
    """How far one output is from its fixture.

    `error` is the largest absolute difference, `excess` the largest of |difference| - rtol * |expected|,
    which passes up to `atol`. Comparisons of sets are 0 (equal) or the number of differing members, and
    pass at 0 alone.
    """

    name: str
    error: float
    excess: float
    atol: float

    @property
    def passed(self) -> bool:
        """NaN fails."""
        return self.excess <= self.atol


def compare(name: str, actual: ArrayLike, expected: ArrayLike, *, atol: float, rtol: float = 0.0) -> Case:
    """Largest differences of two arrays; another shape counts as infinitely far."""
    a, e = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.shape != e.shape:
        return Case(name, float("inf"), float("inf"), atol)
    difference = np.abs(a - e)
    difference[(a == e) | (np.isnan(a) & np.isnan(e))] = 0.0
    if not difference.size:
        return Case(name, 0.0, 0.0, atol)
    excess = np.maximum(difference - rtol * np.abs(e), 0.0)
    return Case(name, float(difference.max()), float(excess.max()), atol)


def count(name: str, differing: int) -> Case:
    """A comparison of sets or texts, `differing` of whose members differ."""
    return Case(name, float(differing), float(differing), 0.0)
