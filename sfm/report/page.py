"""OUT/report.html: one file, no network, from what the run left in OUT."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pycolmap

from sfm.errors import InputError
from sfm.exports.models import model_indices, read_model
from sfm.files.atomic import atomic_write_bytes
from sfm.pairs.history import History
from sfm.report.cameras import CameraRow, camera_rows
from sfm.report.cards import Card, photo_cards
from sfm.report.figures import (
    Opening,
    Run,
    articulations,
    duration,
    stage_bars,
    tiles,
    verdict,
    visual_aliasing,
)
from sfm.report.graph import GraphPicture, graph_picture
from sfm.report.position import position_rows, upright_models
from sfm.report.scene import SceneModel, scene_model
from sfm.report.templates import now, template
from sfm.report.thumbnails import thumbnail_uris
from sfm.types import PhotoStatus
from sfm.workspace.events import read_events
from sfm.workspace.past_runs import read_record

_MAX_POINTS = 200_000
"""In all models together: 2.4 MB of page."""
_NEEDED = frozenset({"message", "config", "photos", "models", "pairs", "stages", "rounds", "seconds"})


def write_report(out: Path, *, thumbnails: Mapping[str, Path] | None = None) -> Path:
    """Write OUT/report.html from run.json, events.jsonl, sparse/ and the photos.

    Args:
        out: workspace of a finished run, with or without models.
        thumbnails: upright JPEG by image name; missing ones are made from OUT/images.

    Raises:
        InputError: OUT has no readable run.json, or it is of other photos than the models.
        WorkspaceError: the file cannot be written.
    """
    run = _read_run(out)
    history = History(read_events(out / "events.jsonl"))
    models = [read_model(out, index) for index in model_indices(out)]
    scenes = _scenes(models, history, upright_models(run["models"]))
    outcomes = run["outcomes"]
    used = [o["name"] for o in outcomes if o["status"] != PhotoStatus.SKIPPED]
    unknown = sorted({name for scene in scenes for name in scene.names}.difference(used))
    if unknown:
        raise InputError(f"{out / 'run.json'} does not know {unknown[0]}, which is in a model")
    uris = thumbnail_uris(used, thumbnails or {}, out / "images")
    cards = photo_cards(outcomes, run["models"], history, dict(zip(used, uris, strict=True)))
    picture = graph_picture(history.pairs, used, scenes)
    images = run["config"].get("images", {})
    are_given = bool(images.get("camera_params") or images.get("cameras_file"))
    cameras = camera_rows(models, history.intrinsics, frames=sorted(used), are_given=are_given)
    html = _render(out, run, verdict(run, articulations(run, history)), cameras, scenes, cards, picture)
    # A name may hold bytes that are no UTF-8; the page shows a question mark for them.
    atomic_write_bytes(out / "report.html", html.encode("utf-8", errors="replace"))
    return out / "report.html"


def _read_run(out: Path) -> Run:
    path = out / "run.json"
    if not path.is_file():
        raise InputError(f"{path} cannot be read", hint="a finished `sfm run` writes it")
    run: Run = read_record(path)
    missing = sorted((_NEEDED | {"peak_memory_mb", "versions"}) - run.keys())
    if missing:
        raise InputError(f"{path} lacks {missing[0]}", hint="run `sfm run` again")
    return run


def _scenes(
    models: Sequence[pycolmap.Reconstruction], history: History, upright: Set[int]
) -> list[SceneModel]:
    """Models for display; the points that the page can hold are shared out by the models' sizes."""
    orientations = {name: int(event.get("orientation") or 1) for name, event in history.photos.items()}
    total = max(sum(model.num_points3D() for model in models), 1)
    return [
        scene_model(
            model,
            orientations,
            max_points=_MAX_POINTS * model.num_points3D() // max(total, _MAX_POINTS),
            is_upright=index in upright,
        )
        for index, model in enumerate(models)
    ]


def _render(
    out: Path,
    run: Run,
    outcome: Opening,
    cameras: Sequence[CameraRow],
    scenes: Sequence[SceneModel],
    cards: Sequence[Card],
    picture: GraphPicture,
) -> str:
    ids = {card.name: card.number for card in cards}
    return template("page.html", duration=duration).render(
        title=out.absolute().name,
        date=now(),
        run=run,
        verdict=outcome,
        tiles=tiles(run),
        stages=stage_bars(run),
        cameras=cameras,
        positions=position_rows(run["models"]),
        visual_aliasing=visual_aliasing(run),
        cards=cards,
        groups=_groups(cards),
        picture=picture,
        ids=ids,
        data=_page_data(scenes, cards, picture, ids),
        config=json.dumps(run["config"], indent=2),
    )


def _groups(cards: Sequence[Card]) -> list[tuple[str, str, int]]:
    counts: dict[str, int] = {}
    for card in cards:
        counts[card.group] = counts.get(card.group, 0) + 1
    titles = {"missing": "Not registered", "skipped": "Left out"}
    return [(group, titles.get(group, group.replace("model", "Model ")), n) for group, n in counts.items()]


def _page_data(
    scenes: Sequence[SceneModel], cards: Sequence[Card], picture: GraphPicture, ids: Mapping[str, int]
) -> dict[str, Any]:
    """What the page's scripts read; names only as JSON strings, never as markup."""
    return {
        "names": [card.name for card in cards],
        "facts": [card.facts for card in cards],
        "models": [scene.packed(ids) for scene in scenes],
        "links": [[ids[a], ids[b], inliers] for a, b, inliers in picture.links],
    }
