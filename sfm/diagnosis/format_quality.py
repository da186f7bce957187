"""How well a photo is held, in words, from `run.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def format_quality(quality: Mapping[str, Any], unit: str) -> str:
    """A photo's figures from `run.json`, in one line.

    Args:
        quality: fields of `PhotoQuality`.
        unit: of the model, such as m.
    """
    words = []
    if quality["residual_px"] is not None:
        words.append(f"{quality['residual_px']:.2f} px")
    if quality["tri_angle_deg"] is not None:
        words.append(f"angles of {quality['tri_angle_deg']:.1f}°")
    words.append(f"{quality['num_neighbours']} of {quality['num_pairs']} photos agree")
    if quality["sigma_position"] is not None:
        words.append(f"± {quality['sigma_position']:.2g} {unit}, {quality['sigma_rotation_deg']:.2g}°")
    return " · ".join(words)


def unit_of(models: Sequence[Mapping[str, Any]], index: int) -> str:
    """The unit of one of the models of `run.json`, in words; also where its figures are missing."""
    model = models[index] if index < len(models) else {}
    return "m" if (model.get("georeference") or {}).get("scale_from") else "units"
