"""One card for each photo: picture, figures, and for those not in a model why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sfm.diagnosis.format_quality import format_quality, unit_of
from sfm.pairs.history import History
from sfm.types import PhotoStatus

_ORDER = {PhotoStatus.NOT_REGISTERED: 0, PhotoStatus.REGISTERED: 1, PhotoStatus.SKIPPED: 2}


@dataclass(frozen=True, slots=True)
class Card:
    """What the page shows of one photo; `number` is its place in the page's lists."""

    number: int
    name: str
    status: str
    group: str
    """`missing`, `skipped`, or `model<n>`."""
    thumbnail: str
    """Data URI, may be empty."""
    facts: str
    quality: str
    """How well a registered photo is held, in figures."""
    doubt: str
    """Why it is probably at a wrong place; mostly empty."""
    reason: str
    advice: str


def photo_cards(
    outcomes: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    history: History,
    thumbnails: Mapping[str, str],
) -> tuple[Card, ...]:
    """Cards in the order of the page: unregistered photos, registered ones by model, skipped files.

    Of each model's photos those in doubt come first.
    """

    def key(outcome: Mapping[str, Any]) -> tuple[int, int, bool, str]:
        order = _ORDER[PhotoStatus(outcome["status"])]
        return order, outcome["model"] or 0, not outcome.get("doubt"), outcome["name"]

    return tuple(
        Card(
            number,
            outcome["name"],
            outcome["status"],
            _group(outcome),
            thumbnails.get(outcome["name"], ""),
            _facts(outcome, history),
            _quality(outcome, models),
            outcome.get("doubt", ""),
            outcome["reason"],
            outcome["advice"],
        )
        for number, outcome in enumerate(sorted(outcomes, key=key))
    )


def _group(outcome: Mapping[str, Any]) -> str:
    names = {PhotoStatus.NOT_REGISTERED: "missing", PhotoStatus.SKIPPED: "skipped"}
    return names.get(PhotoStatus(outcome["status"]), f"model{outcome['model']}")


def _facts(outcome: Mapping[str, Any], history: History) -> str:
    name, facts = outcome["name"], []
    if outcome["status"] == PhotoStatus.REGISTERED:
        facts.append(f"{outcome['num_observations']:,} points")
    elif history.keypoints.get(name) is not None:
        facts.append(f"{history.keypoints[name]:,} keypoints")
    if tries := history.tries(name):
        facts.append(f"{sum(attempt.verified for attempt in tries)} of {len(tries)} pairs")
    return " · ".join(facts)


def _quality(outcome: Mapping[str, Any], models: Sequence[Mapping[str, Any]]) -> str:
    quality = outcome.get("quality")
    return format_quality(quality, unit_of(models, outcome["model"])) if quality else ""
