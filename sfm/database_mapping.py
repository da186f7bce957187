"""`sfm map`: a model from any COLMAP database, without its photos."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pycolmap

from retrieval import Edge, Reason, SceneGraph
from sfm.config.schema import Config
from sfm.database import FeatureDatabase
from sfm.errors import InputError
from sfm.loop import LoopResult
from sfm.mapping import reconstruct
from sfm.outputs import finish
from sfm.pipeline import SILENT, AnyPath, Session
from sfm.progress import Progress
from sfm.result import Result
from sfm.types import CameraSpec, Collection, Exif, Photo
from sfm.workspace import Workspace, os_errors_as_workspace_errors


def map_database(
    database: AnyPath, *, output: AnyPath, config: Config | None = None, progress: Progress = SILENT
) -> Result:
    """Reconstruct from the verified pairs of a COLMAP database; the database itself is only read.

    Args:
        database: SQLite file as COLMAP 3 or 4 writes it, with two-view geometries.
        output: workspace; the database is copied into it.
        config: `register`, `refine`, `export` and `run` are used.
        progress: told how far registration is.

    Raises:
        InputError: the file is missing, is not a COLMAP database, or holds no verified pair.
        WorkspaceError: `output` is in use, foreign or not writable.
    """
    config, database, output = config or Config(), Path(database), Path(output)
    pycolmap.set_random_seed(config.run.seed)
    with os_errors_as_workspace_errors(output), Workspace(output, source=database) as workspace:
        session = Session(workspace, config, progress)
        _copy(database, workspace.database)
        copy = FeatureDatabase(workspace.database)
        collection = _collection(workspace.database)
        pairs = copy.pairs()
        graph = SceneGraph(collection.names, {pair: Edge(0.0, Reason.USER) for pair in pairs})
        if not any(record.verified for record in pairs.values()):
            raise InputError(f"{database} holds no verified pair", hint="match its photos first: sfm match")
        with session.stage("register") as counts:
            result = reconstruct(
                workspace.database,
                config=config.register,
                refine=config.refine,
                threads=session.threads,
                seed=config.run.seed,
                events=workspace.events,
                progress=progress,
            )
            counts.update(models=len(result.models))
        return finish(session, collection, copy, LoopResult(result.models, result.view_graph, graph, ()))


def _copy(source: Path, target: Path) -> None:
    """A copy made by SQLite itself, so that a write-ahead log beside the source is included."""
    if not source.is_file():
        raise InputError(f"{source}: no such database")
    try:
        with closing(sqlite3.connect(f"file:{source.absolute()}?mode=ro", uri=True)) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            missing = {"cameras", "images", "keypoints", "two_view_geometries"} - tables
            if missing:
                raise InputError(f"{source} is not a COLMAP database: it has no table {sorted(missing)[0]}")
            target.unlink(missing_ok=True)
            with closing(sqlite3.connect(target)) as copy:
                db.backup(copy)
    except sqlite3.DatabaseError as error:
        raise InputError(f"{source} is not a COLMAP database: {error}") from error


def _collection(path: Path) -> Collection:
    """What the database says of its photos; there are no files."""
    database = pycolmap.Database.open(path)
    cameras = {
        camera.camera_id: CameraSpec(
            camera.camera_id,
            camera.model.name,
            camera.width,
            camera.height,
            tuple(camera.params),
            camera.has_prior_focal_length,
        )
        for camera in database.read_all_cameras()
    }
    photos = []
    for image in sorted(database.read_all_images(), key=lambda image: image.name):
        camera = cameras[image.camera_id]
        photos.append(
            Photo(
                image.name,
                Path(image.name),
                Path(image.name),
                "",
                camera.width,
                camera.height,
                1,
                image.camera_id,
                Exif(),
            )
        )
    database.close()
    return Collection(tuple(photos), cameras)
