"""Hold photos out, run on the rest, add them again, and compare with a run over all photos.

    python tools/bench/extend.py kitchen25 fox [--share 0.2] [--seed 0] [--threads 2] [--option KEY=VALUE ...]
        [--again 2]

Prints one JSON object a set: photos registered, CPU time of the full run and of extending (with matching),
and how far camera centres of the extended models lie from the full run's after Sim3, in units of the extent
(rms from the mean); for frozen mode, poses and cameras that are not bit-equal to those of the run on the
rest. With --again N, N more full runs with other seeds tell how far full runs lie apart: on photos that few
points hold, farther than any bound on extending. The extended model is then asked to be like one of them, no
farther from the full run nearest to it than the loneliest of these is from its own nearest. Exits with 1 when
a bound is broken: all photos registered, free centres within 1e-3 or that distance, time below 30 %, frozen
poses bit-equal.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycolmap
from harness.measured import Measured, run_measured
from harness.paths import DATA
from photo_sets.sets import find_set

from sfm.evaluation import compare_models

MAX_CENTRE_SHIFT = 1e-3
MAX_TIME_SHARE = 0.3
TIME_LIMIT_S = 3600.0


def main() -> int:
    """Run the experiment on every set."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", help="names of folders in --data, or paths")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--share", type=float, default=0.2, help="of the photos that is held out")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of photos")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--again", type=int, default=0, metavar="N", help="more full runs, with other seeds")
    args = parser.parse_args()
    good = True
    for name in args.sets:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), args.threads, args.option)
            photos = find_set(name, args.data).photos
            result = bench.experiment(photos, args.share, args.seed, again=args.again)
        print(json.dumps({"set": name, **result}, indent=2), flush=True)
        good = good and bool(result["ok"])
    return 0 if good else 1


class Bench:
    """Commands on one set, in a folder that goes away."""

    def __init__(self, folder: Path, threads: int, options: list[str]) -> None:
        self.folder = folder
        self.shared = ["--threads", str(threads), "--quiet"]
        self.options = options

    def experiment(self, photos: Path, share: float, seed: int, *, again: int) -> dict[str, object]:
        """All runs and comparisons of one set."""
        held_out = self.split(photos, share, seed)
        rest, new = self.folder / "rest", self.folder / "new"
        full = self.sfm("full", "run", photos, "--seed", "0", *self.options)
        others = [f"full_{number}" for number in range(1, again + 1)]
        for number, name in enumerate(others, start=1):
            self.sfm(name, "run", photos, "--seed", str(number), *self.options)
        partial = self.sfm("partial", "run", rest, "--seed", "0", *self.options)
        free = self.sfm("free", "extend", self.folder / "partial", new)
        frozen = self.sfm("frozen", "extend", self.folder / "partial", new, "--frozen")
        outputs = ["full", "partial", "free", "frozen", *others]
        models = {name: self.model(name) for name in outputs}
        full_runs = [models[name] for name in ("full", *others)]
        shift, spread = shift_to_nearest(models["free"], full_runs), spread_of(full_runs)
        different = differences(models["partial"], models["frozen"])
        num_full = models["full"].num_reg_images()
        ok = (
            models["free"].num_reg_images() == models["frozen"].num_reg_images() == num_full
            and shift <= max(MAX_CENTRE_SHIFT, spread)
            and free.cpu_seconds < MAX_TIME_SHARE * full.cpu_seconds
            and not different
        )
        return {
            "held_out": held_out,
            "registered": {name: model.num_reg_images() for name, model in models.items()},
            "cpu_s": {
                name: round(run.cpu_seconds, 1)
                for name, run in (("full", full), ("partial", partial), ("free", free), ("frozen", frozen))
            },
            "time_share": {
                "free": round(free.cpu_seconds / full.cpu_seconds, 3),
                "frozen": round(frozen.cpu_seconds / full.cpu_seconds, 3),
            },
            "centres": {name: self.centre_figures(models["full"], models[name]) for name in outputs[2:]},
            "nearest_full_run": {"of_free": shift, "of_full_runs": spread},
            "stages_s": {name: self.stages(name) for name in ("full", "free")},
            "frozen_differences": different,
            "ok": ok,
        }

    def split(self, photos: Path, share: float, seed: int) -> list[str]:
        """Links to the photos in `rest` and `new`; names of those in `new`."""
        files = sorted(path for path in photos.rglob("*") if path.is_file())
        chosen = set(random.Random(seed).sample(files, max(1, round(share * len(files)))))
        for path in files:
            place = self.folder / ("new" if path in chosen else "rest") / path.relative_to(photos)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
        return sorted(path.relative_to(photos).as_posix() for path in chosen)

    def sfm(self, out: str, *words: str | Path) -> Measured:
        """One command, its output in the folder `out`; a failure ends the bench."""
        command = [sys.executable, "-m", "sfm", *map(str, words), "-o", str(self.folder / out)]
        log = self.folder / f"{out}.log"
        measured = run_measured([*command, *self.shared], log=log, time_limit_s=TIME_LIMIT_S)
        if measured.failure:
            raise SystemExit(f"sfm {words[0]}: {measured.failure}")
        return measured

    def model(self, out: str) -> pycolmap.Reconstruction:
        """The largest model of a run."""
        return pycolmap.Reconstruction(self.folder / out / "sparse" / "0")

    def stages(self, out: str) -> dict[str, float]:
        """Seconds (wall clock) of each stage."""
        record = json.loads((self.folder / out / "run.json").read_text(encoding="utf-8"))
        return {stage["stage"]: stage["seconds"] for stage in record["stages"]}

    def centre_figures(
        self, full: pycolmap.Reconstruction, other: pycolmap.Reconstruction
    ) -> dict[str, float]:
        """How far apart the cameras of two models are."""
        found = compare_models(full, other)
        return {"max": found.max_centre_difference, "median": found.median_centre_difference}


def shift_to_nearest(model: pycolmap.Reconstruction, others: Sequence[pycolmap.Reconstruction]) -> float:
    """The largest shift of a camera centre against the model that is nearest in this, in extents."""
    return min(compare_models(other, model).max_centre_difference for other in others)


def spread_of(models: Sequence[pycolmap.Reconstruction]) -> float:
    """How far the loneliest of some models is from the one nearest to it; 0 for a single one."""
    if len(models) < 2:
        return 0.0
    return max(shift_to_nearest(model, [other for other in models if other is not model]) for model in models)


def differences(before: pycolmap.Reconstruction, after: pycolmap.Reconstruction) -> list[str]:
    """Photos whose pose or camera is not bit-equal in both models."""
    images = {image.name: image for image in after.images.values()}
    return [
        image.name
        for image in (before.image(i) for i in before.reg_image_ids())
        if image.name not in images
        or not np.array_equal(_numbers(before, image), _numbers(after, images[image.name]))
    ]


def _numbers(model: pycolmap.Reconstruction, image: pycolmap.Image) -> np.ndarray:
    pose = image.cam_from_world()
    params = model.camera(image.camera_id).params
    return np.concatenate((pose.rotation.quat, pose.translation, np.asarray(params)))


if __name__ == "__main__":
    raise SystemExit(main())
