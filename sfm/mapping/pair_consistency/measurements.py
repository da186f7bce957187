"""Measurements of pairs that a later search for inconsistent pairs of the same collection need not repeat."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value")


@dataclass(slots=True)
class Measurements:
    """Values by what they were measured on, so that a repeated search gives what a first one would."""

    _values: dict[Hashable, object] = field(default_factory=dict)

    def get(self, key: Hashable, measure: Callable[[], Value]) -> Value:
        """The value of a key that was measured before, else of `measure`."""
        if key not in self._values:
            self._values[key] = measure()
        found: Value = self._values[key]  # type: ignore[assignment]
        return found


def digest(values: npt.NDArray[np.generic]) -> int:
    """A number that differs for arrays with other values, within one process."""
    return hash((values.shape, values.tobytes()))
