"""Kill a run at random moments, run it again, and compare with an undisturbed run; then add photos.

    python tools/bench/crash.py PHOTOS [--kills 10] [--seed 0] [--held-out 3]

For each kill: `sfm run` in a process of its own is killed (SIGKILL) after a random share of the undisturbed
run's time, then run to the end. Prints one JSON object: registered photos that differ and the largest
distance between camera centres after Sim3, as a share of the extent, for every kill; and for photos added
later, how many photos were described and pairs matched again. Exits with 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pycolmap

from sfm.evaluation import compare_models
from sfm.exports.models import model_indices, read_model

MAX_CENTRE_SHIFT = 1e-3


def main() -> int:
    """Run the experiment on one folder of photos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = experiment(args.photos, Path(folder), args.kills, args.seed, args.held_out)
    print(json.dumps(result, indent=2))
    return 0 if result["ok"] else 1


def experiment(photos: Path, folder: Path, kills: int, seed: int, held_out: int) -> dict[str, object]:
    """Undisturbed run, killed runs and the run with photos added later."""
    started = time.monotonic()
    run_to_end(photos, folder / "whole")
    seconds = time.monotonic() - started
    moments = random.Random(seed)
    trials = []
    for number in range(kills):
        out = folder / f"killed{number}"
        at = moments.uniform(0.02, 0.98) * seconds
        finished = run_and_kill(photos, out, at)
        run_to_end(photos, out)
        trials.append(
            {"killed_at_s": round(at, 2), "had_finished": finished, **difference(folder / "whole", out)}
        )
        shutil.rmtree(out)
    added = add_photos(photos, folder, held_out)
    ok = all(t["same_photos"] and t["max_centre_shift"] <= MAX_CENTRE_SHIFT for t in trials)
    return {
        "photos": photos.parent.name if photos.name == "images" else photos.name,
        "undisturbed_s": round(seconds, 2),
        "kills": trials,
        "added": added,
        "ok": ok and added["described"] == held_out and added["old_pairs_matched_again"] == 0,
    }


def command(photos: Path, out: Path) -> list[str]:
    """`sfm run` with one thread and a fixed seed."""
    options = ["--threads", "1", "--seed", "0", "--quiet"]
    return [sys.executable, "-m", "sfm", "run", str(photos), "-o", str(out), *options]


def run_to_end(photos: Path, out: Path) -> None:
    """Run; an exit code other than 0 is an error."""
    subprocess.run(command(photos, out), check=True, stdout=subprocess.DEVNULL)


def run_and_kill(photos: Path, out: Path, after_s: float) -> bool:
    """Run and kill; True when the run had already ended by itself."""
    process = subprocess.Popen(command(photos, out), stdout=subprocess.DEVNULL)
    try:
        process.wait(after_s)
        return True
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False


def difference(whole: Path, other: Path) -> dict[str, object]:
    """Registered photos and camera centres of two workspaces, model by model."""
    first, second = models(whole), models(other)
    shifts = [compare_models(a, b).max_centre_difference for a, b in zip(first, second, strict=False)]
    same = [names(m) for m in first] == [names(m) for m in second]
    return {"same_photos": same, "max_centre_shift": max(shifts, default=0.0)}


def models(out: Path) -> list[pycolmap.Reconstruction]:
    """Models of a workspace, largest first."""
    return [read_model(out, index) for index in model_indices(out)]


def names(model: pycolmap.Reconstruction) -> set[str]:
    """Names of the registered photos."""
    return {model.image(i).name for i in model.reg_image_ids()}


def add_photos(photos: Path, folder: Path, held_out: int) -> dict[str, object]:
    """Run without some photos, add them, run again: what was computed the second time?"""
    part, out = folder / "part", folder / "grown"
    shutil.copytree(photos, part)
    files = sorted(p for p in part.rglob("*") if p.is_file())
    late = files[:: max(1, len(files) // held_out)][:held_out]
    for path in late:
        shutil.move(path, folder / path.name)
    run_to_end(part, out)
    before, pairs_before = json.loads((out / "run.json").read_text()), pair_set(out)
    for path in late:
        shutil.move(folder / path.name, path)
    run_to_end(part, out)
    after = json.loads((out / "run.json").read_text())
    late_names = {path.relative_to(part).as_posix() for path in late}
    pairs = pair_events(out)
    again = [p for p in pairs if not p["cached"] and (p["a"], p["b"]) in pairs_before]
    return {
        "added": sorted(late_names),
        "described": stage(after, "describe")["described"],
        "described_cached": stage(after, "describe")["cached"],
        "pairs_before": before["pairs"]["matched"],
        "pairs_matched_now": sum(not p["cached"] for p in pairs),
        "of_which_with_new_photos": sum(
            not p["cached"] and not late_names.isdisjoint((p["a"], p["b"])) for p in pairs
        ),
        "old_pairs_matched_again": len(again),
        "registered": after["photos"]["registered"],
    }


def pair_events(out: Path) -> list[dict[str, object]]:
    """The `pair` events of the last run."""
    lines = (out / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "pair"]


def pair_set(out: Path) -> set[tuple[object, object]]:
    """Pairs of the last run."""
    return {(event["a"], event["b"]) for event in pair_events(out)}


def stage(run: dict[str, object], name: str) -> dict[str, int]:
    """Counts of a stage in `run.json`."""
    return next(s["counts"] for s in run["stages"] if s["stage"] == name)


if __name__ == "__main__":
    raise SystemExit(main())
