"""Where the models stand, in words, from `run.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One model's place: its frame, what is left between cameras and positions, and what that rests on."""

    model: int
    frame: str
    horizontal: str
    vertical: str
    scale: str
    why: str


def position_rows(models: Sequence[Mapping[str, Any]]) -> tuple[PositionRow, ...]:
    """A row a model; none where no photo of any model has a position."""
    places = [model.get("georeference") or {} for model in models]
    if not any(place.get("num_positions") for place in places):
        return ()
    return tuple(_row(index, place) for index, place in enumerate(places) if place)


def upright_models(models: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """Indices of the models whose +z is up."""
    places = enumerate(model.get("georeference") or {} for model in models)
    return frozenset(index for index, place in places if place.get("frame") in ("enu", "upright"))


def frame_in_words(place: Mapping[str, Any]) -> str:
    """The frame that a model stands in."""
    match place["frame"]:
        case "enu":
            origin = place["origin"]
            return (
                f"metres east, north, up of {origin['latitude_deg']:.7f}°, {origin['longitude_deg']:.7f}°, "
                f"{origin['altitude_m']:.1f} m (WGS84)"
            )
        case "positions":
            offset = ", ".join(f"{value:g}" for value in place["offset"])
            return "that of the positions file" + (f", less {offset}" if any(place["offset"]) else "")
        case "upright":
            return "its own, +z up"
    return "its own"


def differences_in_words(differences: Mapping[str, float], axis: str) -> str:
    """Median and 95 % of the distances between cameras and positions."""
    return f"{differences[f'{axis}_median_m']:.2f} m, 95 %: {differences[f'{axis}_p95_m']:.2f} m"


def _row(index: int, place: Mapping[str, Any]) -> PositionRow:
    found = place.get("differences")
    scale = place.get("scale_sigma")
    why = place["why"]
    if place.get("outliers"):
        why += f"; contradicted: {', '.join(place['outliers'])}"
    return PositionRow(
        index,
        frame_in_words(place),
        differences_in_words(found, "horizontal") if found else "",
        differences_in_words(found, "vertical") if found else "",
        f"± {100 * scale:.2g} %" if scale is not None else "",
        why,
    )
