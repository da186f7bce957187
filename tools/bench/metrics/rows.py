"""One result of one engine on one set, its score, and the medians over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from metrics.mapper_scores import read_models
from sfm.colmap.model_poses import Poses
from sfm.evaluation import GroundTruth, load_ground_truth
from sfm.evaluation.evaluate import evaluate_poses
from sfm.evaluation.metrics import PairErrors, pair_errors
from sfm.evaluation.names import match_names

Number = float | None
CURVE_STEP_DEG, CURVE_STEPS = 0.1, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The part of a row that needs the truth; shares in per cent."""

    auc1: Number = None
    """Of the largest model, all other photos missing, like the figures to `rta15`; where the truth has
    several components, of each one's best model, their pairs pooled."""
    auc3: Number = None
    auc5: Number = None
    auc10: Number = None
    auc20: Number = None
    auc30: Number = None
    maa30: Number = None
    """Mean recall within 1, 2, … 30 degrees, translations of either sign, as PoseDiffusion has it."""
    rra5: Number = None
    rta5: Number = None
    rra15: Number = None
    rta15: Number = None
    colmap_auc1: Number = None
    """Of all models at once, by the convention of COLMAP's own benchmark, like the next."""
    colmap_auc5: Number = None
    colmap_auc10: Number = None
    ate: Number = None
    """In the unit of the truth; None where it has several components, like the next three."""
    ate_normalised: Number = None
    """Over the root mean square distance of the true centres from their mean."""
    ate_frobenius: Number = None
    """Over the root of the sum of their squared distances from it, as FlowMap has it."""
    ate_metres: Number = None
    """None where the truth does not know what a metre is."""
    wrong_model: int | None = None
    """Photos in a model of another scene, where the truth has several."""
    curve: tuple[float, ...] = ()
    """Share of pairs within 0.1, 0.2, … 10 degrees (rotation and translation), per cent; () without truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Accuracy):
    """Figures of one run; None where there is nothing to measure. Seconds are wall clock."""

    set: str
    engine: str
    choice: str = "own"
    """How pairs were chosen: `own` by the engine itself, else of `pair_choices.CHOICES`."""
    variant: str = ""
    """What was changed of the engine, or what its user calls that; empty at its defaults."""
    backend: str | None = None
    """Ours alone: `sift` or `mast3r`, and the device that the network ran on; None where nobody knows."""
    device: str | None = None
    measured_on: str | None = None
    """Day of the run (UTC); None where nobody kept it, like the next two."""
    described_on: str | None = None
    """Of the database that COLMAP's mappers share: seconds of describing and matching are of then."""
    matched_on: str | None = None
    seed: int | None
    """None in a median."""
    status: str
    """`ok`, or why there is no result."""
    skipped: bool = False
    """Not run, for a reason that `status` tells."""
    photos: int = 0
    registered: int = 0
    """Photos in any model of three photos or more."""
    models: tuple[int, ...] = ()
    agreement: Number = None
    """Share of the other engines' photos of the same seed that are in the same place here (1 % of the extent,
    1 degree; largest models), per cent, median over the others."""
    reprojection_px: Number = None
    """Of the largest model, like the next two."""
    track_length: Number = None
    num_points: int | None = None
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
    spread: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Least and most over the seeds of figures that vary; medians only."""
    num_seeds: int = 1
    """That finished; medians only."""

    @property
    def name(self) -> str:
        """Engine, variant and choice, for people."""
        engine = f"{self.engine} ({self.variant})" if self.variant else self.engine
        return engine if self.choice == "own" else f"{engine}, {self.choice}"

    @property
    def registered_share(self) -> Number:
        """Of all photos, per cent."""
        return 100 * self.registered / self.photos if self.photos and not self.skipped else None

    @property
    def is_ok(self) -> bool:
        """Whether any seed gave a model."""
        return self.status.startswith("ok")

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Row:
        """From the JSON of a result file; keys that newer files have are passed over.

        Raises:
            pydantic.ValidationError: naming each key that is missing or of a wrong type.
        """
        known = {f.name for f in fields(cls)}
        return _ROW.validate_python({key: value for key, value in content.items() if key in known})


_ROW = TypeAdapter(Row)


def accuracy(models: Path, truth: Path | None) -> Accuracy:
    """Of the models below a folder, largest first, those with fewer than three photos left out."""
    return Accuracy() if truth is None else accuracy_of(read_models(models), load_ground_truth(truth))


def accuracy_of(models: Sequence[Poses], truth: GroundTruth) -> Accuracy:
    """The same of poses, largest model first; without a model every photo is missing.

    Raises:
        InputError: models share no photo with the truth.
    """
    result = evaluate_poses(models, truth)
    overall, ate = result.overall, result.overall.ate
    return Accuracy(
        **{f"auc{t}": overall.auc[t] for t in (1, 3, 5, 10, 20, 30)},
        **{f"colmap_auc{t}": result.colmap_benchmark.auc[t] for t in (1, 5, 10)},
        maa30=overall.auc_1deg_bins_unsigned[30],
        rra5=overall.rra[5],
        rta5=overall.rta[5],
        rra15=overall.rra[15],
        rta15=overall.rta[15],
        ate=ate.raw if ate else None,
        ate_normalised=ate.normalised if ate else None,
        ate_frobenius=ate.frobenius if ate else None,
        ate_metres=ate.metres if ate else None,
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
    """One row a set and engine: medians over the seeds.

    In shares of photos and pairs a failed seed counts as 0; seconds, sizes and errors are those of the seeds
    that gave a model. The models are those of the seed in the middle.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.set, row.engine, row.choice, row.variant), []).append(row)
    return [_median(group) for group in groups.values()]


_SHARES = (
    *("registered", "auc1", "auc3", "auc5", "auc10", "auc20", "auc30", "maa30"),
    *("rra5", "rta5", "rra15", "rta15"),
    *("colmap_auc1", "colmap_auc5", "colmap_auc10", "agreement"),
)


def _median(group: Sequence[Row]) -> Row:
    finished = [row for row in group if row.status == "ok"]
    if not finished:
        return replace(group[0], seed=None, num_seeds=0)
    counted = [row if row.status == "ok" else _with_zeros(row, finished[0]) for row in group]
    middle = _middle(finished)
    values: dict[str, Any] = {}
    spread: dict[str, tuple[float, float]] = {}
    for f in fields(Row):
        column = [getattr(row, f.name) for row in (counted if f.name in _SHARES else finished)]
        numbers = [v for v in column if isinstance(v, int | float) and not isinstance(v, bool)]
        if numbers and min(numbers) < max(numbers) and f.name != "seed":
            spread[f.name] = (min(numbers), max(numbers))
        values[f.name] = getattr(middle, f.name) if len(numbers) < len(column) else _middle_value(numbers)
    if all(len(row.curve) == CURVE_STEPS for row in counted):
        values["curve"] = tuple(np.median([row.curve for row in counted], axis=0).round(2).tolist())
    failed = len(group) - len(finished)
    values |= {"seed": None, "spread": spread, "num_seeds": len(finished), "photos": middle.photos}
    values |= {"registered": _middle(counted).registered, "models": _middle(counted).models}
    values["status"] = f"ok, {failed} of {len(group)} failed" if failed else "ok"
    return Row(**values)


def _with_zeros(failed: Row, finished: Row) -> Row:
    """A failed seed's row with 0 for each share that a finished one has."""
    shares: dict[str, Any] = {name: 0 for name in _SHARES if getattr(finished, name) is not None}
    return replace(failed, **shares, models=(), curve=tuple(0.0 for _ in finished.curve))


def _middle(rows: Sequence[Row]) -> Row:
    return sorted(rows, key=lambda row: (row.registered, row.models))[(len(rows) - 1) // 2]


def _middle_value(numbers: Sequence[float]) -> float:
    value = median(numbers)
    return int(value) if value == int(value) and all(isinstance(v, int) for v in numbers) else value


def measured_when(rows: Sequence[Row]) -> str:
    """The days of runs and of the databases that COLMAP's mappers share, in a line; empty without rows."""
    ran = [row for row in rows if not row.skipped]
    shared = [row for row in ran if row.engine != "ours" and row.choice != "own" and row.match_s is not None]
    told = [
        ("runs", [row.measured_on for row in ran]),
        ("photos described for COLMAP's mappers", [row.described_on for row in shared]),
        ("their pairs matched", [row.matched_on for row in shared]),
    ]
    return "; ".join(f"{what} {_days(days)}" for what, days in told if days)


def _days(days: Iterable[str | None]) -> str:
    found = set(days)
    known = sorted(day for day in found if day)
    if not known:
        return "at a time not recorded"
    span = f"on {known[0]}" if len(known) == 1 else f"from {known[0]} to {known[-1]}"
    return f"{span}, some at a time not recorded" if None in found else span
