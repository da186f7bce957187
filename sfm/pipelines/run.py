"""The whole run, photos to models, and its first stages alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pycolmap

from retrieval import SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.config.options import flat_values
from sfm.config.schema import CameraModel, Config
from sfm.errors import ConfigError, WeightsError
from sfm.exports.earlier_scene import refuse_foreign_folders
from sfm.georeferencing.georeference import GivenFrame
from sfm.ingest import require_photos
from sfm.loop import Rank
from sfm.matching import BackendContext, MatchReport
from sfm.matching.choice import open_backend
from sfm.matching.dense.availability import has_weights
from sfm.pairs.first_pairs import save_pair_list
from sfm.report.result import Result
from sfm.stages.known_poses import KnownPoses, in_frame_of, read_known_poses, triangulated
from sfm.stages.masked_overlays import with_overlays_masked
from sfm.stages.recognised_lenses import with_recognised_lenses
from sfm.stages.register import match_edges
from sfm.stages.session import SILENT, AnyPath, ImageAddition, PhotoSession
from sfm.stages.single_photo import registered_alone
from sfm.stages.stages import described, matched, proposed_pairs, registered, with_features
from sfm.stages.write_results import finish, write_refined
from sfm.types import Collection
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import opened_workspace

from .right_cameras import registered_with_right_cameras

_FILES_OF_STAGES = (
    "images.masks",
    "images.cameras_file",
    "images.rig_config",
    "georeference.positions_file",
    "retrieval.pairs_file",
)


def run(
    photos: AnyPath, *, output: AnyPath, config: Config | None = None, progress: Progress = SILENT
) -> Result:
    """Reconstruct a folder of photos; run again with the same folders to continue or to add photos.

    Args:
        photos: folder of photos, subfolders included.
        output: workspace; made when missing.
        config: all options; None takes the defaults.
        progress: receives the progress of each stage.

    Returns:
        Models, largest first (none when nothing could be reconstructed), with what became of each photo.

    Raises:
        ConfigError, WeightsError: files that options name, or weights of a scene, do not exist.
        InputError: fewer readable photos than the matcher needs (two; mast3r makes a scene of one), or
            unusable masks or intrinsics.
        ReconstructionError: there is one photo, and no depth of it.
        WorkspaceError: `output` is in use, foreign or not writable.
    """
    config = config or Config()
    require_photos(Path(photos))
    _require_files(config)
    if config.export.scene != "never":
        refuse_foreign_folders(Path(output))
    with photo_session(Path(photos), Path(output), config, progress) as session:
        require_pointmaps(session)
        alone = session.backend.single_photos is not None and session.poses is None
        collection, database = described(session, Path(photos), min_photos=1 if alone else 2)
        if len(collection.photos) == 1:
            return finish(session, collection, database, registered_alone(session, collection, database))
        proposed, rank = proposed_pairs(session, collection, database)
        graph = matched(session, collection, proposed, database)
        better = with_overlays_masked(session, collection, database)
        if better is not collection:
            collection, database = with_features(session, better)
            proposed, rank = proposed_pairs(session, collection, database)
            graph = matched(session, collection, proposed, database)
        better = with_recognised_lenses(session, collection, database)
        if better is not collection:
            graph, collection = matched(session, better, proposed, database), better
        if session.poses is not None:
            return _around_poses(session, session.poses, collection, database, proposed, graph, rank)
        loop, collection = registered_with_right_cameras(session, collection, database, proposed, graph, rank)
        return finish(session, collection, database, loop)


def _around_poses(
    session: PhotoSession,
    poses: KnownPoses,
    collection: Collection,
    database: FeatureDatabase,
    proposed: SceneGraph,
    graph: SceneGraph,
    rank: Rank,
) -> Result:
    """The rest of a run that begins with known poses."""
    with session.stage("triangulate") as counts:
        given = triangulated(
            poses, collection, database, threads=session.threads, seed=session.config.run.seed
        )
        counts.update(photos=given.models[0].num_reg_images(), points=given.models[0].num_points3D())
    new = frozenset(collection.names) - poses.images.keys()
    loop = registered(
        session, collection, database, proposed, graph, rank, ImageAddition(given, new, poses.key)
    )
    if not poses.fixed:
        with session.survived("frame of the known poses"):
            loop = write_refined(session, replace(loop, models=in_frame_of(loop.models, poses)))
    return finish(
        session, collection, database, loop, existing=GivenFrame.of(poses.path, frozenset(poses.images))
    )


def retrieve(
    photos: AnyPath, *, output: AnyPath, config: Config | None = None, progress: Progress = SILENT
) -> SceneGraph:
    """Propose the pairs worth matching: the first scene graph. See `run` for arguments and errors."""
    config = config or Config()
    require_photos(Path(photos))
    with photo_session(Path(photos), Path(output), config, progress) as session:
        collection, database = described(session, Path(photos))
        graph, _ = proposed_pairs(session, collection, database)
        save_pair_list(graph, session.workspace.root)
        return graph


def match(
    photos: AnyPath, *, output: AnyPath, config: Config | None = None, progress: Progress = SILENT
) -> MatchReport:
    """Match and verify the pairs of the first scene graph. See `run` for arguments and errors."""
    config = config or Config()
    require_photos(Path(photos))
    with photo_session(Path(photos), Path(output), config, progress) as session:
        collection, database = described(session, Path(photos))
        proposed, _ = proposed_pairs(session, collection, database)
        return match_edges(session, collection, database, proposed.edges)


@contextmanager
def photo_session(source: Path, output: Path, config: Config, progress: Progress) -> Iterator[PhotoSession]:
    """A run over the photos below `source`, with its workspace open and its matcher loaded."""
    poses = read_known_poses(config.register)
    config = _with_cameras_of_alignment(config, poses)
    pycolmap.set_random_seed(config.run.seed)
    with opened_workspace(output, source=source) as workspace:
        backend = open_backend(BackendContext(workspace, config, config.run.num_threads, progress))
        workspace.events.emit("run", "backend", name=backend.name, notice=backend.notice)
        yield PhotoSession(workspace, config, progress, backend=backend, poses=poses)


def _require_files(config: Config) -> None:
    """Refuse files that stages of a whole run ask for and that do not exist, before anything is computed.

    Raises:
        ConfigError: naming the option and the file.
        WeightsError: a scene is wanted, and there are no weights for it.
    """
    network = config.mast3r
    if config.export.scene != "never" and network.oracle is None and not has_weights(network):
        raise WeightsError(
            f"export.scene={config.export.scene} needs depth by MASt3R, whose weights were not found",
            hint="sfm weights says how to get them"
            + ("" if config.backend == "mast3r" else "; without a scene: export.scene=never"),
        )
    if "pairs" in config.retrieval.modes and config.retrieval.pairs_file is None:
        raise ConfigError(
            "retrieval.mode=pairs needs a list of pairs",
            hint="retrieval.pairs_file=FILE, a text file with two names of photos a line",
        )
    values = flat_values(config)
    for name in _FILES_OF_STAGES:
        path = values[name]
        if path is not None and not Path(str(path)).exists():
            raise ConfigError(
                f"{name}: {path} does not exist",
                hint="paths are relative to the configuration file that names them, or to the current folder",
            )


def require_pointmaps(session: PhotoSession) -> None:
    """Refuse to align photos without a network's pointmaps.

    Raises:
        ConfigError: the mapper aligns, and the matcher has none.
    """
    mapper, backend = session.config.register.mapper, session.backend.name
    if session.config.register.aligns and backend != "mast3r":
        raise ConfigError(
            f"register.mapper={mapper} needs the pointmaps of backend mast3r, not {backend}",
            hint="backend=mast3r with its weights (sfm weights), or register.mapper=graph",
        )


def _with_cameras_of_alignment(config: Config, poses: KnownPoses | None) -> Config:
    """With a pinhole camera a photo, where alignment alone finds intrinsics and nothing else was asked.

    Where known poses come with one lens, photos share its intrinsics as they do elsewhere.
    """
    if not config.register.aligns or config.alignment.refine != "none":
        return config
    images = config.images
    if images.camera_params is not None or images.cameras_file is not None:
        return config
    model: CameraModel = "PINHOLE" if images.camera_model == "auto" else images.camera_model
    shares = images.camera_sharing != "auto" or (poses is not None and poses.one_lens)
    sharing = images.camera_sharing if shares else "per_image"
    return replace(config, images=replace(images, camera_model=model, camera_sharing=sharing))
