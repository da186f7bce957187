"""One result of one engine on one set, its score, and the medians over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from mapper_scores import read_models

from sfm.evaluation import GroundTruth, load_ground_truth
from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.metrics import PairErrors, pair_errors
from sfm.evaluation.model_poses import Poses
from sfm.evaluation.names import match_names

Number = float | None
CURVE_STEP_DEG, CURVE_STEPS = 0.1, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one run; None where there is nothing to measure. Seconds are wall clock."""

    set: str
    engine: str
    choice: str = "own"
    """How pairs were chosen: `own` by the engine itself, else of `pair_choices.CHOICES`."""
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
    auc10: Number = None
    auc20: Number = None
    auc30: Number = None
    rra5: Number = None
    rta5: Number = None
    ate: Number = None
    """In the unit of the truth; None where it has several components."""
    ate_normalised: Number = None
    """Over the root mean square distance of the true centres from their mean."""
    wrong_model: int | None = None
    """Photos in a model of another scene, where the truth has several."""
    agreement: Number = None
    """Share of the other engines' photos of the same seed that are in the same place here (1 % of the extent,
    1 degree; largest models), per cent, median over the others."""
    reprojection_px: Number = None
    """Of the largest model, like the track length."""
    track_length: Number = None
    pairs: int | None = 0
    """Pairs matched."""
    pairs_share: Number = 0.0
    """Of all pairs."""
    describe_s: Number = 0.0
    match_s: Number = 0.0
    map_s: Number = 0.0
    total_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    unmeasured_truth: bool = False
    """The truth is another program's result."""
    curve: tuple[float, ...] = ()
    """Share of pairs within 0.1, 0.2, … 10 degrees (rotation and translation), per cent; () without truth."""
    spread: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Least and most over the seeds of figures that vary; medians only."""
    num_seeds: int = 1
    """That finished; medians only."""

    @property
    def name(self) -> str:
        """Engine and choice, for people."""
        return self.engine if self.choice == "own" else f"{self.engine}, {self.choice}"

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Row:
        """From the JSON of a result file; keys that newer files have are passed over."""
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in content.items() if key in known}
        for key in ("models", "curve"):
            values[key] = tuple(values.get(key) or ())
        values["spread"] = {k: tuple(v) for k, v in (values.get("spread") or {}).items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Scores:
    """The part of a row that needs the truth."""

    auc1: Number = None
    auc3: Number = None
    auc5: Number = None
    auc10: Number = None
    auc20: Number = None
    auc30: Number = None
    rra5: Number = None
    rta5: Number = None
    ate: Number = None
    ate_normalised: Number = None
    wrong_model: int | None = None
    curve: tuple[float, ...] = ()


def score(models: Path, truth: Path | None) -> Scores:
    """Score the models below a folder, largest first, those with fewer than three photos left out."""
    return Scores() if truth is None else score_poses(read_models(models), load_ground_truth(truth))


def score_poses(models: Sequence[Poses], truth: GroundTruth) -> Scores:
    """The same of poses, largest model first; without a model every photo is missing."""
    result = evaluate_poses(models, truth)
    overall = result.overall
    return Scores(
        **{f"auc{t}": overall.auc[t] for t in (1, 3, 5, 10, 20, 30)},
        rra5=overall.rra[5],
        rta5=overall.rta[5],
        ate=overall.ate.raw if overall.ate else None,
        ate_normalised=overall.ate.normalised if overall.ate else None,
        wrong_model=len(result.photos_in_wrong_model) if truth.components else None,
        curve=_curve(models, truth),
    )


def _curve(models: Sequence[Poses], truth: GroundTruth) -> tuple[float, ...]:
    """Recall of pairs in steps of a tenth of a degree, over all components' pairs."""
    names = match_names({name for poses in models for name in poses}, truth.poses)
    known = [{names[name]: pose for name, pose in poses.items() if name in names} for poses in models]
    parts = []
    for members in truth.groups().values():
        best: Poses = max(known, key=lambda poses: len(poses.keys() & set(members)), default={})
        parts.append(pair_errors(best, truth.poses, members, min_baseline=truth.min_baseline))
    errors = np.sort(PairErrors.joined(parts).pose_deg)
    limits = CURVE_STEP_DEG * np.arange(1, CURVE_STEPS + 1)
    shares = 100 * np.searchsorted(errors, limits, side="right") / max(len(errors), 1)
    return tuple(round(float(share), 2) for share in shares)


def median_rows(rows: Sequence[Row]) -> list[Row]:
    """One row a set and engine: medians over the seeds; the models are those of the seed in the middle."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.engine, row.choice), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(group: Sequence[Row]) -> Row:
    finished = [row for row in group if row.status == "ok"]
    if not finished:
        return Row.read({**{f.name: getattr(group[0], f.name) for f in fields(Row)}, "seed": None})
    middle = sorted(finished, key=lambda row: (row.registered, row.models))[(len(finished) - 1) // 2]
    values: dict[str, Any] = {}
    spread: dict[str, tuple[float, float]] = {}
    for f in fields(Row):
        column = [getattr(row, f.name) for row in finished]
        numbers = [v for v in column if isinstance(v, int | float) and not isinstance(v, bool)]
        if numbers and min(numbers) < max(numbers) and f.name != "seed":
            spread[f.name] = (min(numbers), max(numbers))
        if f.name in ("registered", "photos") or len(numbers) < len(column):
            values[f.name] = getattr(middle, f.name)
        else:
            middle_value = median(numbers)
            whole = all(isinstance(v, int) for v in numbers) and middle_value == int(middle_value)
            values[f.name] = int(middle_value) if whole else middle_value
    if all(len(row.curve) == CURVE_STEPS for row in finished):
        values["curve"] = tuple(np.median([row.curve for row in finished], axis=0).round(2).tolist())
    failed = len(group) - len(finished)
    values |= {"seed": None, "spread": spread, "num_seeds": len(finished)}
    values["status"] = f"ok, {failed} of {len(group)} failed" if failed else "ok"
    return Row(**values)
