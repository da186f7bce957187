"""Workspaces as a run leaves them, made from COLMAP's synthetic scenes."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import pycolmap
import pytest

from sfm.config.schema import Config
from sfm.types import PhotoQuality
from sfm.workspace.events import EventLog

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run() -> MakeRun:
    """Makes an OUT folder: models, run.json, events.jsonl and images."""
    return write_run


def write_run(
    out: Path,
    *,
    num_models: int = 1,
    rename: Mapping[int, str] | None = None,
    missing: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> Path:
    """A workspace of `num_models` models of five images; `rename` maps image ids of the first to names."""
    models = [_model(out, index, rename or {} if index == 0 else {}) for index in range(num_models)]
    (out / "images").mkdir(parents=True, exist_ok=True)
    events = EventLog(out / "events.jsonl")
    names = [sorted(image.name for image in model.images.values()) for model in models]
    for name in (*(n for group in names for n in group), *missing):
        events.emit("ingest", "photo", name=name, width=320, height=240, camera_id=1, orientation=1)
        events.emit("describe", "features", name=name, num_keypoints=500, cached=False)
    for index, group in enumerate(names):
        _emit_pairs(events, combinations(group, 2), num_inliers=80)
        for name in group:
            fields = {"model": index, "name": name, "how": "pnp", "num_visible": 60, "num_inliers": 55}
            events.emit("register", "registered", **fields)
    first = names[0][0] if names else ""
    _emit_pairs(events, [(name, first) for name in missing if first], num_inliers=0)
    (out / "run.json").write_text(json.dumps(_record(models, names, missing, skipped)), encoding="utf-8")
    return out


def judge(out: Path, name: str, *, doubt: str = "", sigma_position: float | None = 0.0123) -> None:
    """Say in run.json how well a photo is held."""
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    outcome = next(outcome for outcome in run["outcomes"] if outcome["name"] == name)
    sigma = None if sigma_position is None else 0.05
    quality = PhotoQuality(0.412, 12.34, sigma_position, sigma, "", 4, 1, 0.8)
    outcome.update(quality=dataclasses.asdict(quality), doubt=doubt)
    (out / "run.json").write_text(json.dumps(run), encoding="utf-8")


def _model(out: Path, index: int, rename: Mapping[int, str]) -> pycolmap.Reconstruction:
    pycolmap.set_random_seed(index)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 5, 80
    options.camera_width, options.camera_height = 320, 240
    options.camera_params = [400.0, 160.0, 120.0, 0.05]
    model = pycolmap.synthesize_dataset(options)
    for image in model.images.values():
        image.name = rename.get(image.image_id, f"scene{index}/{image.image_id}.png")
        (out / "images" / image.name).parent.mkdir(parents=True, exist_ok=True)
    pycolmap.synthesize_images(pycolmap.SyntheticImageOptions(), model, out / "images")
    model.extract_colors_for_all_images(out / "images")
    folder = out / "sparse" / str(index)
    folder.mkdir(parents=True)
    model.write(folder)
    return model


def _emit_pairs(events: EventLog, pairs: Iterable[tuple[str, str]], *, num_inliers: int) -> None:
    for a, b in pairs:
        pair = {"a": min(a, b), "b": max(a, b), "reason": "knn", "round": 0}
        events.emit("retrieve", "edge", score=0.2, **pair)
        kind = "calibrated" if num_inliers else "undefined"
        events.emit("match", "pair", num_matches=90, num_inliers=num_inliers, config=kind, **pair)


def _round(
    number: int,
    asked: Mapping[str, int],
    matched: int,
    verified: Mapping[str, int],
    *,
    registered: tuple[int, int],
    models: tuple[int, int],
    seconds: float = 1.0,
) -> dict[str, object]:
    before, after = (
        {f"registered_{when}": registered[i], f"models_{when}": models[i]}
        for i, when in enumerate(("before", "after"))
    )
    tried = {"matched": matched, "verified": sum(verified.values()), "verified_by_reason": verified}
    return {"round": number, "asked": asked, **tried, **before, **after, "seconds": seconds}


def _record(
    models: Sequence[pycolmap.Reconstruction],
    names: Sequence[Sequence[str]],
    missing: Sequence[str],
    skipped: Sequence[str],
) -> dict[str, object]:
    def outcome(name: str, status: str, **fields: object) -> dict[str, object]:
        blank = {"model": None, "num_observations": 0, "reason": "", "advice": ""}
        return {"name": name, "status": status, **blank, **fields}

    registered = [
        outcome(name, "registered", model=index, num_observations=80)
        for index, group in enumerate(names)
        for name in group
    ]
    lost = [outcome(n, "not_registered", reason="too little overlap", advice="go closer") for n in missing]
    left_out = [outcome(n, "skipped", reason="truncated file") for n in skipped]
    readable = len(registered) + len(lost)
    return {
        "status": "ok" if models else "no_model",
        "message": f"{len(registered)} of {readable} photos registered.",
        "backend": "sift",
        "notice": "",
        "versions": {"loopsfm": "0.1.0"},
        "config": dataclasses.asdict(Config()),
        "photos": {
            "total": readable + len(left_out),
            "readable": readable,
            "registered": len(registered),
            "skipped": [{"name": n, "reason": "truncated file"} for n in skipped],
        },
        "models": [
            {
                "path": f"sparse/{index}",
                "num_images": model.num_reg_images(),
                "num_points3D": model.num_points3D(),
                "num_observations": model.compute_num_observations(),
                "mean_reprojection_error_px": 0.41,
                "mean_track_length": 4.2,
            }
            for index, model in enumerate(models)
        ],
        "pairs": {"matched": 12, "verified": 10, "exhaustive": 15, "fraction": 0.8},
        "stages": [
            {"stage": "describe", "seconds": 2.0, "counts": {"described": readable, "cached": 0}},
            {"stage": "match", "seconds": 61.5, "counts": {"matched": 12}},
        ],
        "rounds": [
            _round(1, {"loop": 4}, 4, {"loop": 1}, registered=(0, 0), models=(0, 0), seconds=0.5),
            _round(2, {"unregistered": 3}, 3, {"unregistered": 2}, registered=(4, 5), models=(2, 2)),
            _round(3, {}, 0, {}, registered=(5, 5), models=(2, 1)),
        ],
        "outcomes": registered + lost + left_out,
        "seconds": 64.0,
        "peak_memory_mb": 512.0,
    }
