"""Figures beside those of the baseline, seed by seed: what got worse, and by more than it may."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from sfm.errors import InputError

BASELINE = Path(__file__).resolve().parents[1] / "baseline.json"
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
    """One figure of one scene, means over the seeds that both have; None where one of these lacks it."""

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

    @property
    def verdict(self) -> str:
        """In a word; new is what the baseline does not know yet."""
        if self.is_worse:
            return "WORSE"
        return "new" if self.before is None and self.now is not None else "ok"


def compared(before: Scenes, now: Scenes) -> Iterator[Change]:
    """Each figure of the scenes and seeds that both have; one that a side lacks is None there."""
    for scene, seeds in now.items():
        common = sorted(seeds.keys() & before.get(scene, {}).keys())
        sides = [[of[seed] for seed in common] for of in (before.get(scene, {}), seeds)]
        for figure in TOLERANCES:
            if any(figure in figures for side in sides for figures in side):
                old, new = ([figures.get(figure) for figures in side] for side in sides)
                yield Change(scene, figure, _mean(old), _mean(new))


def left_out(before: Scenes, now: Scenes, guarded: Collection[str]) -> Iterator[str]:
    """A line for each scene and seed of which only one side has figures.

    Args:
        before: the baseline.
        now: what was measured.
        guarded: all scenes that could be; those that were not are no loss.
    """
    for scene in sorted(before.keys() - set(guarded)):
        yield f"{scene}: in the baseline, and no scene of the guard"
    for scene, seeds in now.items():
        if scene not in before:
            yield f"{scene}: not in the baseline"
        elif missing := sorted(before[scene].keys() - seeds.keys()):
            yield f"{scene}: seed {', '.join(missing)} of the baseline was not measured"
        elif further := sorted(seeds.keys() - before[scene].keys()):
            yield f"{scene}: seed {', '.join(further)} is not in the baseline"


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


def read_provenance(path: Path = BASELINE) -> dict[str, Mapping[str, object]]:
    """Of each scene, on what, of what and when its figures were measured; empty where nobody told."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["measured"]
        return {scene: dict(entry) for scene, entry in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # read_baseline tells what is wrong
        return {}
