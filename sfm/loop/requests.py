"""Requests of the closed loop, with candidates in the order to try them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retrieval import Pair, Reason

MUST_HAVE = frozenset({Reason.UNREGISTERED, Reason.BRIDGE})
"""Reasons that decide which photos are in the model; the others make it more exact."""
PRICE_AGAIN = 4.0
"""Of a pair for the stronger matcher, in pairs."""
_FIRM_BRIDGE = 30
"""Inliers of a pair that is believed to join two parts; it is verified with fewer."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair that may answer a request, and how likely it is to verify, in (0, 1]."""

    pair: Pair
    chance: float


@dataclass(frozen=True, slots=True)
class PairRequest:
    """A weakness of the model or of the view graph, and the pairs that could remove it.

    Attributes:
        reason: kind of weakness.
        subject: the image, or the two images, of the weakness.
        candidates: pairs that the matcher in question has not tried, best first.
        wanted: number of verified pairs that satisfies the request.
        worth: what each of them gains, comparable among all requests.
        is_unguided: whether candidates are matched without epipolar guides from the model, which they test.
        is_test: whether its outcome, verified or not, decides where images of the model stand. Such a request
            may cost pairs beyond the usual budget, as those of `MUST_HAVE` may.
        is_again: whether candidates were tried before and are for the stronger matcher.
    """

    reason: Reason
    subject: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    wanted: int
    worth: float
    is_unguided: bool = False
    is_test: bool = False
    is_again: bool = False

    @property
    def price(self) -> float:
        """Of each candidate, in pairs."""
        return PRICE_AGAIN if self.is_again else 1.0

    @property
    def is_needed(self) -> bool:
        """Whether it may cost pairs beyond the usual budget."""
        return self.is_test or self.is_again or self.reason in MUST_HAVE

    def to_json(self) -> dict[str, object]:
        """As JSON values; `from_json` takes them back."""
        return {
            "reason": str(self.reason),
            "subject": list(self.subject),
            "candidates": [[c.pair.a, c.pair.b, c.chance] for c in self.candidates],
            "wanted": self.wanted,
            "worth": self.worth,
            "is_unguided": self.is_unguided,
            "is_test": self.is_test,
            "is_again": self.is_again,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PairRequest:
        """The request that `to_json` wrote."""
        return cls(
            Reason(stored["reason"]),
            tuple(stored["subject"]),
            tuple(Candidate(Pair.of(a, b), chance) for a, b, chance in stored["candidates"]),
            stored["wanted"],
            stored["worth"],
            stored.get("is_unguided", False),
            stored.get("is_test", False),
            stored.get("is_again", False),
        )


def answers(reason: Reason, num_inliers: int) -> bool:
    """Whether a verified pair answers a request: what joins two parts must be more than a chance likeness."""
    return reason is not Reason.BRIDGE or num_inliers >= _FIRM_BRIDGE
