"""What a round of the closed loop may match, and the view graph that the choice depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from retrieval import Pair, Reason

_INLIERS_OF_ONE = 100
"""Inliers of a verified pair of conductance 1."""
_MAX_CONDUCTANCE = 2.0


def conductance_of(num_inliers: int) -> float:
    """How firmly a verified pair holds its two images, in units of a pair of `_INLIERS_OF_ONE` inliers."""
    return min(num_inliers / _INLIERS_OF_ONE, _MAX_CONDUCTANCE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that may be matched.

    Attributes:
        pair: not tried yet by the matcher in question.
        chance: to verify and be true, in (0, 1].
        reason: the weakness that it would remove.
        worth: its information if it verifies, in nats; None where the design on the view graph gives it.
        is_again: whether it was tried before and is for the stronger matcher.
    """

    pair: Pair
    chance: float
    reason: Reason
    worth: float | None = None
    is_again: bool = False

    @property
    def most_conductance(self) -> float:
        """Of a pair that is sure to verify and true: the stronger matcher finds more inliers."""
        return _MAX_CONDUCTANCE if self.is_again else 1.0

    @property
    def is_needed(self) -> bool:
        """Whether it may cost pairs beyond the usual budget."""
        return self.is_again or self.reason in (Reason.UNREGISTERED, Reason.BRIDGE)

    def to_json(self) -> list[object]:
        """As JSON values; `from_json` takes them back."""
        return [self.pair.a, self.pair.b, self.chance, str(self.reason), self.worth, self.is_again]

    @classmethod
    def from_json(cls, stored: Sequence[Any]) -> Candidate:
        """The candidate that `to_json` wrote."""
        a, b, chance, reason, *others = stored
        return cls(Pair.of(a, b), chance, Reason(reason), *others)


@dataclass(frozen=True)  # without slots: a cached property
class PairPlan:
    """Candidates of a round, and the view graph that they would add to.

    Attributes:
        candidates: in a deterministic order, each pair once for each matcher.
        conductance: of each verified pair within a part.
        parts: images that verified pairs, or a model, hold together; an image of none is alone.
        failed_links: verified pairs between parts that registration did not join.
    """

    candidates: tuple[Candidate, ...]
    conductance: Mapping[Pair, float]
    parts: tuple[Set[str], ...]
    failed_links: tuple[Pair, ...] = ()

    @cached_property
    def part_of(self) -> Mapping[str, int]:
        """Index of the part of each image that is in one."""
        return {name: index for index, part in enumerate(self.parts) for name in part}

    def apart(self, pair: Pair) -> tuple[str, ...] | None:
        """What a pair would join: an image alone, or two parts by their first images; None: nothing."""
        a, b = (self.part_of.get(name) for name in pair)
        if a is None or b is None:
            return (pair.a if a is None else pair.b,)
        return None if a == b else tuple(sorted((min(self.parts[a]), min(self.parts[b]))))

    def to_json(self) -> dict[str, object]:
        """As JSON values; `from_json` takes them back."""
        return {
            "candidates": [one.to_json() for one in self.candidates],
            "conductance": [[*pair, value] for pair, value in self.conductance.items()],
            "parts": [sorted(part) for part in self.parts],
            "failed_links": [list(pair) for pair in self.failed_links],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PairPlan:
        """The plan that `to_json` wrote."""
        return cls(
            tuple(Candidate.from_json(one) for one in stored["candidates"]),
            {Pair.of(a, b): value for a, b, value in stored["conductance"]},
            tuple(frozenset(part) for part in stored["parts"]),
            tuple(Pair.of(a, b) for a, b in stored["failed_links"]),
        )
