"""`sfm map`: a model from any COLMAP database, with its photos or without."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pycolmap

from retrieval import Edge, Reason, SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_checks import check_database, drop_empty_keypoints, forget_impossible_focal_lengths
from sfm.colmap.sqlite_files import open_read_only, replace_by_copy, replace_by_move
from sfm.config.schema import Config
from sfm.diagnosis.visual_aliasing import read_inconsistent_pairs
from sfm.errors import ConfigError, InputError
from sfm.files.scratch import scratch_folder
from sfm.ingest.grey_photos import GreyPhotos
from sfm.ingest.photo_positions import with_positions
from sfm.loop import LoopResult
from sfm.mapping import NO_DOUBT, MappingProblem, reconstruct, refine_models
from sfm.matching.verification import record_pairs
from sfm.report.result import Result
from sfm.stages.session import SILENT, AnyPath, Session, one_blas_thread
from sfm.stages.write_results import finish, write_refined, write_unrefined
from sfm.types import CameraSpec, Collection, Exif, Photo
from sfm.untrusted.names import path_below
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import Workspace, is_about_disk, opened_workspace

log = logging.getLogger(__name__)

_WHICH_DATABASE = "give the database.db that COLMAP, sfm match or sfm run wrote"


@one_blas_thread()
def map_database(
    database: AnyPath,
    *,
    output: AnyPath,
    images: AnyPath | None = None,
    config: Config | None = None,
    progress: Progress = SILENT,
) -> Result:
    """Reconstruct from the verified pairs of a COLMAP database; the database itself is only read.

    Args:
        database: SQLite file as COLMAP 3 or 4 writes it, with two-view geometries.
        output: workspace; the database is copied into it.
        images: folder of the photos, by whose appearance repeated places are recognised; only read.
        config: `register`, `refine`, `georeference`, `export` and `run` are used.
        progress: receives the progress of registration.

    Raises:
        ConfigError: known poses, which only a run from photos can start from.
        InputError: the file is missing, is not a COLMAP database, contradicts itself, or holds no verified
            pair; the positions file cannot be used; or `images` holds none of its photos.
        WorkspaceError: `output` is in use, foreign or not writable.
    """
    config, database, output = config or Config(), Path(database), Path(output)
    if config.register.poses is not None:
        raise ConfigError("register.poses is for runs from photos", hint="leave it out, or use sfm run")
    pycolmap.set_random_seed(config.run.seed)
    with opened_workspace(output, source=database) as workspace:
        session = Session(workspace, config, progress)
        session.photos = GreyPhotos(Path(images)) if images is not None else None
        collection, copy = _taken_over(database, workspace, config, images)
        pairs = copy.pairs()
        graph = SceneGraph(collection.names, {pair: Edge(0.0, Reason.USER) for pair in pairs})
        record_pairs(graph.edges, (), pairs, workspace.events)
        with session.stage("register") as counts:
            ours = config.register.mapper == "graph"
            consistency = read_inconsistent_pairs(workspace.database) if ours else NO_DOUBT
            problem = MappingProblem(
                database=workspace.database,
                config=config.register.for_photos(len(collection.photos)),
                refine=config.refine,
                photos=session.photos,
                threads=session.threads,
                seed=config.run.seed,
                scratch=workspace.scratch,
            )
            result = reconstruct(problem, consistency=consistency, events=workspace.events, progress=progress)
            write_unrefined(session, result.models)
            models = refine_models(problem, result.models, consistency=consistency, events=workspace.events)
            counts.update(models=len(models))
        loop = LoopResult(models, result.view_graph, graph, (), consistency if ours else None)
        return finish(session, collection, copy, write_refined(session, loop))


def _taken_over(
    database: Path, workspace: Workspace, config: Config, images: AnyPath | None
) -> tuple[Collection, FeatureDatabase]:
    """The images of a database, and its copy in the workspace.

    What the workspace holds stays until the database is known to do.
    """
    with scratch_folder() as folder:
        checked = folder / "database.db"
        forgotten = copy_checked(database, checked)
        copy, collection = FeatureDatabase(checked), collection_of(checked)
        if not any(record.verified for record in copy.pairs().values()):
            raise InputError(f"{database} holds no verified pair", hint="match its photos first: sfm match")
        if images is not None:
            _refuse_other_photos(database, collection, Path(images))
        if config.georeference.positions_file is not None:
            collection = with_positions(collection, config.georeference)
            copy.write_positions(collection)
        replace_by_move(checked, workspace.database)
    for camera_id, focal_px in forgotten.items():
        workspace.events.emit("register", "focal_length_ignored", camera_id=camera_id, focal_px=focal_px)
        log.warning(
            "%s: camera %d cannot have a focal length of %.4g px; it is estimated",
            database,
            camera_id,
            focal_px,
        )
    return collection, FeatureDatabase(workspace.database)


def _refuse_other_photos(database: Path, collection: Collection, folder: Path) -> None:
    """Raise InputError where none of the photos is below a folder."""
    if not any(path_below(folder, name).is_file() for name in collection.names):
        raise InputError(
            f"{folder} holds no photo of {database}, such as {collection.names[0]}",
            hint="give --images the folder to which the names in the database are relative",
        )


def copy_checked(source: Path, target: Path) -> dict[int, float]:
    """Copy a database that COLMAP's mapper can use; `source` is only read.

    Returns:
        Focal lengths (px) by camera id that no camera can have: the copy has COLMAP's guess instead.

    Raises:
        InputError: it is missing, is not a COLMAP database, or contradicts itself.
    """
    if not source.is_file():
        raise InputError(
            f"{source} is a folder, not a database" if source.is_dir() else f"{source} does not exist",
            hint=_WHICH_DATABASE,
        )
    try:
        with open_read_only(source) as db:
            check_database(db, source)
            replace_by_copy(db, target)
        with closing(sqlite3.connect(target)) as db, db:
            drop_empty_keypoints(db)
            forgotten = forget_impossible_focal_lengths(db)
        _refuse_unknown_rigs(target, source)
    except (sqlite3.DatabaseError, RuntimeError, ValueError) as error:
        if is_about_disk(error):
            raise
        raise InputError(
            f"{source} is not a COLMAP database: {error}",
            hint=_WHICH_DATABASE,
        ) from error
    return forgotten


def _refuse_unknown_rigs(path: Path, source: Path) -> None:
    with pycolmap.Database.open(path) as db:
        for rig in db.read_all_rigs():
            unknown = [sensor.id for sensor, pose in rig.non_ref_sensors.items() if pose is None]
            if unknown:
                raise InputError(
                    f"{source}: rig {rig.rig_id} does not say how camera {unknown[0]} sits in it",
                    hint="run from the photos with images.rig_config, or COLMAP's rig_configurator first",
                )


def collection_of(path: Path) -> Collection:
    """The images and cameras of the database; there are no files."""
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
