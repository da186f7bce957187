"""Figures beside those of the baseline, seed by seed: what got worse, and by more than it may."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from sfm.errors import InputError

BASELINE = Path(__file__).resolve().parent / "baseline.json"
Figures = Mapping[str, float | None]
"""Of one scene and seed; None where there is nothing to measure, as without a model."""
Scenes = Mapping[str, Mapping[str, Figures]]
"""By scene, then seed as text."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a figure may fall behind without being called worse."""

    title: str
    more_is_better: bool
    points: float = 0.0
    """Absolute."""
    factor: float = 1.0
    """Relative; both are added."""
    digits: int = 1

    def limit(self, before: float) -> float:
        """The worst that is still good."""
        if self.more_is_better:
            return before / self.factor - self.points
        return before * self.factor + self.points


TOLERANCES = {
    "registered": Tolerance("photos registered", True, digits=0),
    "in_doubt": Tolerance("photos in doubt", False, digits=0),
    "auc1": Tolerance("AUC@1", True, points=2.0),
    "auc5": Tolerance("AUC@5", True, points=1.0),
    "ate": Tolerance("ATE", False, factor=1.2, digits=5),
    "pairs_share": Tolerance("share of pairs matched", False, points=0.02, factor=1.1, digits=3),
    "cpu_ratio": Tolerance("CPU time of mapping, ours / incremental", False, factor=1.4, digits=2),
}
"""Accuracy is the same each time for the same source, threads and machine. Time is a ratio of two runs one
after the other; on a machine that others use it still moves."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one scene, means over the seeds that both have."""

    scene: str
    figure: str
    before: float | None
    now: float | None

    @property
    def is_worse(self) -> bool:
        """Whether it fell behind by more than it may; what was measured and no longer is, did."""
        if self.before is None or self.now is None:
            return self.now is None and self.before is not None
        tolerance = TOLERANCES[self.figure]
        limit = tolerance.limit(self.before)
        return self.now < limit if tolerance.more_is_better else self.now > limit

    def told(self) -> str:
        """One line."""
        tolerance = TOLERANCES[self.figure]
        before, now = (
            "none" if value is None else f"{value:.{tolerance.digits}f}" for value in (self.before, self.now)
        )
        limit = ""
        if self.before is not None:
            word = "at least" if tolerance.more_is_better else "at most"
            limit = f" ({word} {tolerance.limit(self.before):.{tolerance.digits}f})"
        return f"{self.scene}: {tolerance.title} {before} -> {now}{limit}"


def compared(before: Scenes, now: Scenes) -> Iterator[Change]:
    """Each figure of the scenes and seeds that both have."""
    for scene, seeds in now.items():
        common = sorted(seeds.keys() & before.get(scene, {}).keys())
        for figure in TOLERANCES:
            pairs = [
                (before[scene][seed][figure], seeds[seed][figure])
                for seed in common
                if figure in before[scene][seed] and figure in seeds[seed]
            ]
            if pairs:
                old, new = zip(*pairs, strict=True)
                yield Change(scene, figure, _mean(old), _mean(new))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def read_baseline(path: Path = BASELINE) -> Scenes:
    """Scenes of a baseline file.

    Raises:
        InputError: the file is missing, or a figure in it is unknown or no number.
    """
    try:
        scenes: Scenes = json.loads(path.read_text(encoding="utf-8"))["scenes"]
        for scene, seeds in scenes.items():
            for seed, figures in seeds.items():
                for figure, value in figures.items():
                    known = value is None or (isinstance(value, int | float) and math.isfinite(value))
                    if figure not in TOLERANCES or not known:
                        raise InputError(f"{path}: {scene}, seed {seed}: {figure}: {value!r} is no figure")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no baseline: {error!r}", hint="quick.py --update writes one") from error
    return scenes
