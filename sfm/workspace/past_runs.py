"""The `run.json` of an earlier run, with every figure that is shown checked."""

import logging
import math
from pathlib import Path
from typing import Any

from sfm.errors import InputError
from sfm.types import PhotoStatus
from sfm.untrusted.documents import fits, read_json
from sfm.workspace.workspace import MARKER

log = logging.getLogger(__name__)

_NUMBER = (float, None)
_QUALITY = {
    "residual_px": _NUMBER,
    "tri_angle_deg": _NUMBER,
    "sigma_position": _NUMBER,
    "sigma_rotation_deg": _NUMBER,
    "why_no_sigma": str,
    "num_pairs": int,
    "num_neighbours": int,
    "contradicted": float,
    "probability?": (float, None),
}
_PLACE = {
    "frame": str,
    "why": str,
    "origin?": ({"latitude_deg": float, "longitude_deg": float, "altitude_m": float}, None),
    "offset?": [float],
    "num_positions?": int,
    "outliers?": [str],
    "differences?": (
        {f"{axis}_{share}_m": float for axis in ("horizontal", "vertical") for share in ("median", "p95")},
        None,
    ),
    "scale_from?": str,
    "scale?": _NUMBER,
    "scale_sigma?": _NUMBER,
    "turn_sigma_deg?": _NUMBER,
}
_OUTCOME = {
    "name": str,
    "status": str,
    "model": (int, None),
    "num_observations": int,
    "reason": str,
    "advice": str,
    "quality?": (_QUALITY, None),
    "doubt?": str,
}
_RECORD = {
    "message?": str,
    "config?": dict,
    "photos?": {"total": int, "readable": int, "registered": int, "skipped": [{"name": str, "reason": str}]},
    "models?": [
        {
            "path": str,
            "num_images": int,
            "num_points3D": int,
            "num_observations": int,
            "mean_reprojection_error_px": float,
            "mean_track_length": float,
            "georeference?": (_PLACE, None),
            "probability?": (float, None),
            "alternatives?": [{"names": [str], "probability": float}],
        }
    ],
    "pairs?": {"matched": int, "verified": int, "exhaustive": int, "fraction": float, "failed?": int},
    "stages?": [{"stage": str, "seconds": float, "counts": {str: float}}],
    "rounds?": [
        {
            **dict.fromkeys(("round", "matched", "verified", "registered_before", "registered_after"), int),
            **dict.fromkeys(("models_before", "models_after"), int),
            "asked": {str: int},
            "verified_by_reason": {str: int},
            "seconds": float,
        }
    ],
    "versions?": {str: str},
    "outcomes": [_OUTCOME],
    "inconsistent_pairs?": [{"a": str, "b": str, "num_inliers": int, "why": str}],
    "seconds?": float,
    "peak_memory_mb?": float,
}
_EARLIER = {"suspects": "inconsistent_pairs", "look_alikes_note": "aliasing_note"}
"""Keys in files of earlier versions, and what they are called now."""
_STATUSES = frozenset(PhotoStatus)


def read_record(path: Path) -> dict[str, Any]:
    """What a `run.json` holds; those of earlier versions may lack figures.

    Raises:
        InputError: it cannot be read, or a figure in it is none.
    """
    record: Any = read_json(path, errors="surrogateescape", hint="run `sfm run` again")
    if isinstance(record, dict):
        record = {_EARLIER.get(key, key): value for key, value in record.items()}
    if not fits(record, _RECORD) or not _refers(record):
        raise InputError(f"{path} is damaged", hint="run `sfm run` again")
    found: dict[str, Any] = record
    return found


def unfinished(out: Path) -> InputError | None:
    """That no run has finished in an output folder; None where one has, and where it is no output folder."""
    if not (out / "cache" / MARKER).is_file() or (out / "run.json").is_file():
        return None
    return InputError(
        f"{out.resolve()}: no run has finished there yet",
        hint="`sfm run` (or `sfm map`) with the same input and output continues",
    )


def warn_of_unfinished(out: Path) -> None:
    """Say that models of an output folder are those of an unfinished run, where they are."""
    if (error := unfinished(out)) is not None:
        log.warning("%s: its models may lack the last adjustment; %s", error, error.hint)


def _refers(record: dict[str, Any]) -> bool:
    places = [model.get("georeference") or {} for model in record.get("models", ())]
    needed = {"enu": "origin", "positions": "offset"}
    if not all(place.get(needed.get(place["frame"], "frame")) for place in places if place):
        return False
    names = {outcome["name"] for outcome in record["outcomes"]}
    if any(not {pair["a"], pair["b"]} <= names for pair in record.get("inconsistent_pairs", ())):
        return False
    # The figures of the models are one of the steps that a run may not have finished.
    num_models = len(places) if places or record.get("status") != "unfinished" else math.inf
    return all(
        outcome["status"] in _STATUSES
        and (outcome["status"] != PhotoStatus.REGISTERED or outcome["model"] is not None)
        and (outcome["model"] is None or 0 <= outcome["model"] < num_models)
        for outcome in record["outcomes"]
    )
