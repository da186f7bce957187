"""Readers of the small files that runs, extensions and exports leave beside their results."""

import json
from pathlib import Path

from .reader import Reader, write_model

_NAMES = ("a.jpg", "b.jpg", "c.jpg")


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _place(folder: Path) -> None:
    origin = {"latitude_deg": 47.0, "longitude_deg": 8.0, "altitude_m": 400.0}
    content = {"frame": "enu", "origin": origin, "offset": [1.0, 2.0, 3.0], "scale_from": "positions"}
    _write(folder / "georeference.json", content)


def _use_place(folder: Path) -> None:
    from sfm.georeferencing.georeference import GivenFrame

    GivenFrame.of(folder, frozenset(_NAMES))


def _workspace(folder: Path) -> None:
    content = {"format": 1, "source": str(folder / "photos")}
    (folder / "photos").mkdir(parents=True)
    _write(folder / "out" / "cache" / "workspace.json", content)
    _write(folder / "out" / "run.json", {})
    (folder / "out" / "sparse" / "0").mkdir(parents=True)


def _open_workspace(folder: Path) -> None:
    from sfm.workspace.workspace import Workspace

    with Workspace(folder / "out", source=folder / "photos"):
        pass


def _extension(folder: Path) -> None:
    from PIL import Image

    (folder / "out" / "images").mkdir(parents=True)
    for name in _NAMES[:2]:
        mark = f"converted by sfm from {name}".encode()
        Image.new("RGB", (8, 8)).save(folder / "out" / "images" / name, comment=mark)
    cache, photo = folder / "out" / "cache", {"width": 8, "height": 8}
    _write(cache / "extends.json", {"model": "key"})
    _write(cache / "sources.json", {name: [name, f"/photos/{name}"] for name in _NAMES})
    _write(cache / "workspace.json", {"format": 1, "source": "/photos"})
    photos = {name: [1, 2, {**photo, "sha256": name}] for name in _NAMES}
    _write(cache / "images.json", {"photos": photos})


def _extend(folder: Path) -> None:
    from sfm.colmap.database_sync import StageKeys
    from sfm.errors import InputError
    from sfm.reference.model import GivenModel
    from sfm.reference.photo_files import workspace_photos
    from sfm.reference.workspace import begin
    from sfm.workspace.workspace import Workspace

    given = GivenModel(folder / "model", (), "key", (), {}, None, workspace=False)
    space = Workspace(folder / "out", source=folder / "model")
    begin(given, space, StageKeys("", "", ""))
    for _ in range(2):  # by the list of sources, then by the manifest
        try:
            workspace_photos(space.root, _NAMES[:2])
        except InputError:  # the originals are not there
            (space.cache / "sources.json").unlink(missing_ok=True)


def _export(folder: Path) -> None:
    _write(
        folder / "old" / "loopsfm_export.json",
        {"photos": {"1.jpg": "a.jpg"}, "files": {"images.txt": [1, 2, "0a"]}},
    )
    lines = "1 1 0 0 0 1 2 3 1 1.jpg\n\n2 1 0 0 0 0 0 0 1 2.jpg\n\n"
    (folder / "old" / "images.txt").write_text(lines, encoding="utf-8")
    (folder / "old" / "mine.txt").write_text("mine", encoding="utf-8")


def _renew_export(folder: Path) -> None:
    from sfm.colmap.model_poses import read_poses
    from sfm.exports.ownership import Keeper, write_marker

    assert len(read_poses(folder / "old")) == 2
    (folder / "new").mkdir(exist_ok=True)
    write_marker(folder / "new", {"photos": {}})
    keeper = Keeper()
    keeper.carry(folder / "old", folder / "new")
    keeper.report(folder / "new")
    assert (folder / "new" / "mine.txt").read_text() == "mine"


def _rounds(folder: Path) -> None:
    from retrieval import Pair, Reason
    from sfm.loop.kept_rounds import KeptRounds
    from sfm.loop.pair_plan import Candidate, PairPlan
    from sfm.workspace.events import NullEvents

    pairs = tuple(Candidate(Pair.of("a.jpg", b), 0.5, Reason.BRIDGE) for b in _NAMES[1:])
    plan = PairPlan(pairs, {Pair("a.jpg", "b.jpg"): 1.0}, (frozenset({"a.jpg", "b.jpg"}),))
    KeptRounds(folder, NullEvents()).plan(1, "growth", lambda: plan)


def _go_on(folder: Path) -> None:
    from sfm.loop.kept_rounds import KeptRounds
    from sfm.loop.pair_plan import PairPlan
    from sfm.workspace.events import EventLog

    rounds = KeptRounds(folder, EventLog(folder / "heard.jsonl"))
    rounds.plan(1, "growth", lambda: PairPlan((), {}, ()))


def _use_poses(folder: Path) -> None:
    from sfm.config.schema import RegisterConfig
    from sfm.stages.known_poses import read_known_poses

    poses = read_known_poses(RegisterConfig(mapper="graph", poses=str(folder)))
    assert poses is not None
    assert poses.key


def _kept_paths(folder: Path) -> None:
    config = {"photos": "…/p", "output": "…/o", "run": {"seed": 1}, "register": {"poses": "…/m"}}
    _write(folder / "run.json", {"config": config})
    _write(folder / "cache" / "paths.json", {"photos": "/a/p", "output": "/a/o", "register.poses": "/a/m"})


def _repeat_run(folder: Path) -> None:
    from sfm.config.loading import load_config

    load_config(folder / "run.json")


MARKERS = {
    "georeference": Reader(_place, _use_place),
    "marker of a workspace": Reader(_workspace, _open_workspace, ("out/cache/workspace.json",)),
    "markers of an extension": Reader(_extension, _extend, ("out/cache/*.json", "out/images/*")),
    "marker of an export": Reader(_export, _renew_export, ("old/loopsfm_export.json",)),
    "rounds of the loop": Reader(_rounds, _go_on, ("01/*.json",)),
    "given poses": Reader(lambda f: write_model(f, text=True), _use_poses, ("*.txt",)),
    "options of a run": Reader(_kept_paths, _repeat_run, ("run.json", "cache/paths.json")),
}
