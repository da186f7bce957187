"""Readers of what a run tells of itself, without its photos."""

import json
from pathlib import Path

from .reader import Reader, write_model


def _workspace(folder: Path) -> None:
    """What a run leaves, of photos that nobody needs to look at again."""
    import pycolmap

    write_model(folder / "sparse" / "0")
    (folder / "cache").mkdir()
    model = pycolmap.Reconstruction(folder / "sparse" / "0")
    names = sorted(model.image(i).name for i in model.reg_image_ids())
    with pycolmap.Database.open(folder / "database.db") as db:
        pycolmap.set_random_seed(0)
        options = pycolmap.SyntheticDatasetOptions()
        options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 2, 2
        options.num_points3D = 8
        pycolmap.synthesize_dataset(options, db)
    _write_json(folder / "run.json", _run(names))
    lines = "".join(json.dumps({"t": 1.5, "stage": "s", **event}) + "\n" for event in _events(names))
    for path in (folder / "events.jsonl", folder / "cache" / "events.jsonl"):
        path.write_text(lines, encoding="utf-8")
    edges = [[names[0], names[1], 0.5, "knn", 0], [names[1], names[2], 1.0, "user", 1]]
    for name in ("scene_graph.json", "proposed_graph.json"):
        _write_json(folder / "cache" / name, {"images": names, "edges": edges})
    _write_json(folder / "cache" / "failed_pairs.json", {"attempt": 2, "pairs": [names[:2]]})
    _write_json(
        folder / "cache" / "camera_splits.json",
        {names[0]: {"sha256": "0a", "focal_px": 500.0, "principal_point": {"x": 9.0, "y": 7.5}}},
    )


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _events(names: list[str]) -> list[dict[str, object]]:
    a, b, c, d = names
    pair = {"a": a, "b": b}
    photo = {"event": "photo", "width": 1024, "height": 768, "camera_id": 1, "orientation": 1}
    counted = {"num_matches": 40, "num_inliers": 30, "config": "CALIBRATED", "why": ""}
    return [
        *({**photo, "name": name} for name in names),
        {"event": "skipped", "name": "e.jpg", "reason": "damaged"},
        *({"event": "features", "name": name, "num_keypoints": 100} for name in names),
        {"event": "edge", **pair, "score": 0.25},
        {"event": "pair", **pair, "reason": "knn", "round": 0, **counted},
        {"event": "pair", "a": a, "b": c, "reason": "bridge", "round": 1, **counted, "num_inliers": 0},
        {"event": "request", "a": c, "b": d, "gain": 0.5, "reason": "bridge", "round": 1},
        {"event": "inconsistent_pair", **pair, "why": "alike", "score": 0.5, "num_inliers": 30},
        *(
            {"event": "registered", "name": n, "how": "pnp", "num_visible": 9, "num_inliers": 8, "model": 0}
            for n in names
        ),
        {"event": "rejected", "name": d, "num_visible": 9, "why": "few", "model": 0},
        {"event": "filtered", "name": d, "why": "no points", "model": 0},
        {"event": "split", "names": [c], "articulation": a, "model": 0},
        {
            "event": "relocated",
            "names": [b, c],
            "accepted": True,
            "num_matches": [3, 9],
        },
        {"event": "dropped_model", "names": [d], "why": "small"},
    ]


def _run(names: list[str]) -> dict[str, object]:
    quality = dict.fromkeys(("residual_px", "tri_angle_deg", "sigma_position", "sigma_rotation_deg"), 0.5)
    held = {**quality, "why_no_sigma": "", "num_pairs": 3, "num_neighbours": 2, "contradicted": 0.1}
    outcome = {"status": "registered", "model": 0, "num_observations": 8, "reason": "", "advice": ""}
    lost = {**outcome, "status": "not_registered", "model": None, "reason": "none fits", "advice": "more"}
    origin = {"latitude_deg": 47.0, "longitude_deg": 8.0, "altitude_m": 400.0}
    axes, shares = ("horizontal", "vertical"), ("median", "p95")
    distances = {f"{axis}_{share}_m": 0.5 for axis in axes for share in shares}
    place = {"frame": "enu", "why": "GPS", "origin": origin, "offset": [0, 0, 0], "num_positions": 3}
    sizes = {"path": "sparse/0", "num_images": 4, "num_points3D": 8, "num_observations": 32}
    errors = {"mean_reprojection_error_px": 0.5, "mean_track_length": 4.0}
    return {
        "status": "ok",
        "message": "done",
        "backend": "sift",
        "notice": "",
        "config": {"photos": "p", "run": {"seed": 1}},
        "photos": {"total": 4, "readable": 4, "registered": 3, "skipped": [{"name": "e", "reason": "x"}]},
        "models": [{**sizes, **errors, "georeference": {**place, "outliers": [], "differences": distances}}],
        "pairs": {"matched": 2, "verified": 1, "exhaustive": 6, "fraction": 0.3, "failed": 0, "failures": ""},
        "stages": [{"stage": "ingest", "seconds": 1.5, "counts": {"photos": 4}, "peak_memory_mb": 100.0}],
        "rounds": [
            {
                **dict.fromkeys(("round", "matched", "verified", "registered_before"), 1),
                **dict.fromkeys(("registered_after", "models_before", "models_after", "seconds"), 1),
                "asked": {"bridge": 1},
                "verified_by_reason": {"bridge": 1},
            }
        ],
        "outcomes": [
            *({**outcome, "name": n, "quality": held, "doubt": ""} for n in names[:3]),
            {**lost, "name": names[3]},
        ],
        "inconsistent_pairs": [
            {"a": names[0], "b": names[1], "score": 0.5, "num_inliers": 30, "why": "alike"}
        ],
        "ambiguous": False,
        "aliasing_note": "",
        "seconds": 2.5,
        "peak_memory_mb": 100.0,
        "versions": {"python": "3"},
    }


_REGISTERED, _LOST = "camera000001_frame000000.png", "camera000002_frame000001.png"


def _tell(folder: Path, *names: str) -> None:
    """All that reads the records of a run and needs no photo; `names` are explained."""
    from sfm.diagnosis.explain import explain
    from sfm.pairs.failed_pairs import FailedPairs
    from sfm.pairs.pair_states import read_pair_states
    from sfm.stages.split_cameras import with_splits
    from sfm.types import Collection

    with_splits(Collection((), {}), folder / "cache")
    FailedPairs.read(folder / "cache")
    read_pair_states(folder)
    for name in names:
        explain(folder, name)


def _report(folder: Path) -> None:
    from sfm.report.graphs import graph
    from sfm.report.page import write_report

    write_report(folder)
    graph(folder, destination=folder / "graph")


RUNS = {
    "run record": Reader(_workspace, lambda f: _tell(f, _REGISTERED, _LOST), ("run.json",), slowness=4),
    "event log": Reader(
        _workspace, lambda f: _tell(f, _LOST), ("events.jsonl", "cache/events.jsonl"), slowness=4
    ),
    "pair records": Reader(_workspace, lambda f: _tell(f, _LOST), ("cache/*.json",), slowness=4),
    "report": Reader(_workspace, _report, ("run.json", "events.jsonl", "sparse/0/*.bin"), slowness=4),
}
