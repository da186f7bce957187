"""One result of one engine on one set, its score, and the medians over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.model_poses import find_models, read_poses

Number = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one run; None where there is nothing to measure. Seconds are wall clock."""

    set: str
    engine: str
    seed: int | None
    """None in a median."""
    status: str
    """`ok`, or why there is no result."""
    photos: int = 0
    registered: int = 0
    """Photos in any model of three photos or more."""
    models: tuple[int, ...] = ()
    auc1: Number = None
    auc3: Number = None
    auc5: Number = None
    ate: Number = None
    """In the unit of the truth; None where it has several components."""
    wrong_model: int | None = None
    """Photos in a model of another scene, where the truth has several."""
    reprojection_px: Number = None
    """Of the largest model, like the track length."""
    track_length: Number = None
    pairs: int = 0
    """Pairs matched."""
    pairs_share: float = 0.0
    """Of all pairs."""
    describe_s: float = 0.0
    match_s: float = 0.0
    map_s: float = 0.0
    total_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    unmeasured_truth: bool = False
    """The truth is another program's result."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The part of a row that needs the truth."""

    auc1: Number = None
    auc3: Number = None
    auc5: Number = None
    ate: Number = None
    wrong_model: int | None = None


def score(models: Path, truth: Path | None, *, min_model_size: int = 3) -> Scores:
    """Score the models below a folder, largest first, those with fewer photos left out."""
    if truth is None:
        return Scores()
    known = load_ground_truth(truth)
    try:
        poses = [read_poses(folder) for folder in find_models(models)]
    except InputError:  # no model was built: every photo is missing
        poses = []
    result = evaluate_poses([p for p in poses if len(p) >= min_model_size], known)
    auc = result.overall.auc
    ate = result.overall.ate
    wrong = len(result.photos_in_wrong_model) if known.components else None
    return Scores(auc[1], auc[3], auc[5], ate.raw if ate else None, wrong)


def median_rows(rows: Sequence[Row]) -> list[Row]:
    """One row a set and engine: medians over the seeds; the models are those of the seed in the middle."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.engine), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(group: Sequence[Row]) -> Row:
    finished = [row for row in group if row.status == "ok"]
    if not finished:
        return group[0]
    middle = sorted(finished, key=lambda row: (row.registered, row.models))[(len(finished) - 1) // 2]
    values: dict[str, object] = {}
    for field in fields(Row):
        column = [getattr(row, field.name) for row in finished]
        numbers = [v for v in column if isinstance(v, int | float) and not isinstance(v, bool)]
        if field.name in ("registered", "photos") or len(numbers) < len(column):
            values[field.name] = getattr(middle, field.name)
        else:
            values[field.name] = median(numbers)
    failed = len(group) - len(finished)
    values["seed"] = None
    values["status"] = f"ok, {failed} of {len(group)} failed" if failed else "ok"
    return Row(**values)  # type: ignore[arg-type]
