"""The mast3r backend on rendered scenes, the oracle in the network's place, one option apart at a time.

    python tools/bench/dense_runs.py [--cases tracks chain ...] [--seeds 3] [--size 160] [--wrong 0.15]
        [--cache FOLDER]

Each case renders its scene once (with depth) and runs `sfm run` in a process of its own for each variant:

- tracks: canonical keypoints against naive ones (matches on whole network pixels, left to COLMAP to join) and
  union-find (the same, without the tracks that hold two keypoints of a photo)
- chain: no point is in three photos, intrinsics given; with depth lifting, without, SIFT; intrinsics unknown
- spin: all photos from one spot; with depth and without
- plain: walls without texture; the oracle against SIFT
- two-squares: two components
- street: 100 photos
- walk: the first 50 of these, tracks as in the first case

Prints one JSON object: for each variant and seed of the scene photos registered, models, AUC, mean track
length (with and without a photo's second keypoint in one track), reprojection error (px), pairs and seconds
by stage; with several seeds also mean and standard deviation over these: how far a walk drifts is chance. The
oracle is no network: what is compared is what follows inference. With --wrong, that share of the patches of
each view exchange their descriptors, so that about as many matches are wrong. Pairs are inferred once for a
scene, so that "match" of later variants is the time of making tracks and verifying them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pycolmap

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Case:
    """A scene, and what is run on it."""

    scene: tuple[str, ...]
    """Arguments of render_scene.py."""
    variants: dict[str, tuple[str, ...]]
    """Options of `sfm run` by name."""
    options: tuple[str, ...] = ()
    """Options of all variants."""
    first: int | None = None
    """Only so many of the photos."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where scenes are kept and how large the network's images are."""

    cache: Path
    size: int
    threads: int
    seeds: int
    wrong: float = 0.0
    """Share of the patches of each view that exchange their descriptors."""


_CHAIN_CAMERA = "images.camera_params=448,320,240,-0.04"
"""Two-view tracks alone don't determine intrinsics; MP-SfM's figures are with given ones too."""

_SAME_PAIRS = ("retrieval.pairs_per_photo=6", "register.max_rounds=0")
"""The closed loop would ask each variant for other pairs."""

_AUC = ("1", "3", "5", "10")
_COMPARED = ("registered", "mean_track_length", "photos_per_point", "mean_reprojection_error_px", "seconds")

TRACKS: dict[str, tuple[str, ...]] = {
    "canonical": (),
    "naive": ("internal.mast3r.tracks=naive",),
    "union-find": ("internal.mast3r.tracks=union-find",),
}

CASES = {
    "tracks": Case(("--views", "28"), TRACKS),
    "chain": Case(
        ("--scene", "chain", "--views", "12"),
        {
            "lifting": (_CHAIN_CAMERA,),
            "no lifting": (_CHAIN_CAMERA, "internal.mast3r.depth_lifting=false"),
            "sift": (_CHAIN_CAMERA, "backend=sift"),
            "lifting, intrinsics unknown": (),
        },
    ),
    "spin": Case(
        ("--scene", "spin", "--views", "12"),
        {"depth": (), "no depth": ("internal.mast3r.depth_lifting=false",), "sift": ("backend=sift",)},
    ),
    "plain": Case(("--plain", "--views", "20"), {"oracle": (), "sift": ("backend=sift",)}),
    "two-squares": Case(("--scene", "two-squares", "--views", "28"), {"oracle": ()}),
    "street": Case(("--scene", "street", "--views", "100"), {"oracle": ()}),
    "walk": Case(("--scene", "street", "--views", "100"), TRACKS, _SAME_PAIRS, first=50),
}


def main() -> int:
    """Run the chosen cases and print their figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    parser.add_argument("--size", type=int, default=160, help="longer side of the network's images, px")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1, help="scenes that each case is rendered as")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of wrong matches, 0 to 1")
    parser.add_argument("--cache", type=Path, help="keeps rendered scenes and results between calls")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(args.cache or Path(scratch), args.size, args.threads, args.seeds, args.wrong)
        figures = {name: run_case(bench, name) for name in args.cases}
    said = {"size": args.size, "threads": args.threads, "seeds": args.seeds, "wrong": args.wrong}
    print(json.dumps({**said, "cases": figures}, indent=2))
    return 0


def run_case(bench: Bench, name: str) -> dict[str, Any]:
    """All variants of a case, for each of the seeds."""
    runs = [run_scene(bench, name, seed) for seed in range(bench.seeds)]
    return {
        variant: {
            "seeds": [run[variant] for run in runs],
            **({"mean_and_deviation": spread([run[variant] for run in runs])} if bench.seeds > 1 else {}),
        }
        for variant in CASES[name].variants
    }


def run_scene(bench: Bench, name: str, seed: int) -> dict[str, dict[str, Any]]:
    """All variants of a case on one scene, which is rendered where it isn't there yet."""
    case, folder = CASES[name], bench.cache / f"{name}-{seed}"
    scene = folder / "scene"
    if not (scene / "gt.json").exists():
        shutil.rmtree(scene, ignore_errors=True)
        _python(ROOT / "tools" / "render_scene.py", scene, *case.scene, "--depth", "--seed", str(seed))
        _keep_first(scene, case.first)
    return {variant: run_variant(bench, name, variant, folder) for variant in case.variants}


def spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of the figures that all runs have."""
    flat = [{**run, **{f"auc_{key}": value for key, value in run.get("auc", {}).items()}} for run in runs]
    found = {}
    for key in (*_COMPARED, *(f"auc_{key}" for key in _AUC)):
        if all(run.get(key) is not None for run in flat):
            values: list[float] = [run[key] for run in flat]
            found[key] = (round(statistics.fmean(values), 3), round(statistics.stdev(values), 3))
    return found


def _keep_first(scene: Path, count: int | None) -> None:
    """Leave only the first photos of a scene."""
    truth = json.loads((scene / "gt.json").read_text())
    for name in sorted(truth["images"])[count:] if count else ():
        (scene / "images" / name).unlink()
        del truth["images"][name], truth["cameras"][name]
    (scene / "gt.json").write_text(json.dumps(truth))


def run_variant(bench: Bench, name: str, variant: str, folder: Path) -> dict[str, Any]:
    """One `sfm run` on the scene in a folder, and its figures."""
    case, scene, out, inferred = CASES[name], folder / "scene", folder / f"out {variant}", folder / "pairs"
    shutil.rmtree(out, ignore_errors=True)
    if inferred.exists():  # its folders are named by all that results depend on
        shutil.copytree(inferred, out / "cache" / "pairs")
    options = ["backend=mast3r", f"internal.mast3r.oracle={scene}", f"mast3r.image_size={bench.size}"]
    options += [f"internal.mast3r.oracle_wrong_matches={bench.wrong}"] if bench.wrong else []
    options += [*case.options, *case.variants[variant], "export.report=false"]
    started = time.monotonic()
    done = _python("-m", "sfm", "run", scene / "images", "-o", out, f"--threads={bench.threads}", *options)
    figures: dict[str, Any] = {"exit": done.returncode, "seconds": round(time.monotonic() - started, 1)}
    if (out / "cache" / "pairs").exists():
        shutil.copytree(out / "cache" / "pairs", inferred, dirs_exist_ok=True)
    if not (out / "run.json").exists():
        return {**figures, "error": done.stderr.splitlines()[-1:]}
    run = json.loads((out / "run.json").read_text())
    figures |= {
        "photos": run["photos"]["readable"],
        "registered": run["photos"]["registered"],
        "models": [model["num_images"] for model in run["models"]],
        "pairs": run["pairs"]["matched"],
        "verified": run["pairs"]["verified"],
        "stages": {stage["stage"]: stage["seconds"] for stage in run["stages"]},
        "peak_memory_mb": run["peak_memory_mb"],
    }
    if run["models"]:
        keys = ("mean_track_length", "mean_reprojection_error_px", "num_points3D", "num_observations")
        figures |= {key: run["models"][0][key] for key in keys}
        figures["photos_per_point"] = photos_per_point(out / "sparse" / "0")
        figures |= accuracy(out, scene / "gt.json")
    return figures


def photos_per_point(path: Path) -> float:
    """Mean number of different photos in a track: COLMAP also counts a photo's second keypoint."""
    points = pycolmap.Reconstruction(path).points3D.values()
    return statistics.fmean(len({e.image_id for e in point.track.elements}) for point in points)


def accuracy(out: Path, truth: Path) -> dict[str, Any]:
    """Accuracy of the largest model; photos that are not in it count as infinitely wrong."""
    done = _python("-m", "sfm", "eval", out, truth, "--json")
    if done.returncode:
        return {"eval_error": done.stderr.splitlines()[-1:]}
    scored = json.loads(done.stdout)
    return {
        "auc": {threshold: scored["auc"][threshold] for threshold in _AUC},
        "rotation_median_deg": scored["rotation_median_deg"],
        "translation_median_deg": scored["translation_median_deg"],
    }


def _python(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False, timeout=3000
    )


if __name__ == "__main__":
    sys.exit(main())
