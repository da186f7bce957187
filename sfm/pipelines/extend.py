"""`sfm extend`: new photos registered into a model that is there already."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pycolmap

from retrieval import SceneGraph
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config
from sfm.errors import InputError
from sfm.geometry.similarity import fit_models
from sfm.georeferencing.georeference import GivenFrame
from sfm.ingest import require_photos
from sfm.loop import LoopResult
from sfm.mapping import ExistingModels
from sfm.pairs.first_pairs import earlier_edges
from sfm.pipelines.run import photo_session
from sfm.reference.collection import model_and_new_photos
from sfm.reference.colmap_features import load_features, take_over_features
from sfm.reference.model import GivenModel, open_given
from sfm.reference.pairs import propose_for_new
from sfm.reference.photo_files import remember_sources
from sfm.reference.workspace import begin, models_in_database
from sfm.report.result import Result
from sfm.stages.session import SILENT, AnyPath, ImageAddition, PhotoSession
from sfm.stages.split_cameras import other_cameras
from sfm.stages.stages import matched, registered, with_features
from sfm.stages.write_results import finish, write_refined
from sfm.types import Collection, PhotoOutcome, PhotoStatus
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import content_key

from .right_cameras import with_other_cameras

_VERSION = 3


@dataclass(frozen=True, slots=True)
class Extension:
    """The outcome of the photos that were to be added.

    Attributes:
        result: the models, as after `run`; those of MODEL and the new photos together.
        frozen: whether the old poses were held.
        added: outcome of each new photo, by name; skipped ones, such as those already in the model, with the
            reason.
        apart: new photos in models of their own, without a verified link to MODEL.
    """

    result: Result
    frozen: bool
    added: tuple[PhotoOutcome, ...]
    apart: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, result: Result, addition: ImageAddition, given: GivenModel, collection: Collection
    ) -> Extension:
        """The outcome of a run that extended a model."""
        apart = _apart(result, addition.new, given.registered)
        added = _outcomes(result, addition.new, collection)
        return cls(result, addition.existing.frozen, added, apart)

    @property
    def num_registered(self) -> int:
        """New photos that are in MODEL now."""
        found = {outcome.name for outcome in self.added if outcome.status is PhotoStatus.REGISTERED}
        return len(found - self.apart)

    def to_dict(self) -> dict[str, object]:
        """As JSON values, for `OUT/extension.json`."""
        return {
            "frozen": self.frozen,
            "registered": self.num_registered,
            "apart": sorted(self.apart),
            "added": list(self.added),
        }


def extend(
    model: AnyPath,
    photos: AnyPath,
    *,
    output: AnyPath,
    frozen: bool = False,
    images: AnyPath | None = None,
    database: AnyPath | None = None,
    config: Config | None = None,
    progress: Progress = SILENT,
) -> Extension:
    """Register new photos into an existing model; the model itself and its photos are only read.

    The result has the frame of the model: same origin, orientation and scale. New photos take a camera of
    the model that EXIF identifies; without EXIF, the folder and the size do. Points of the model with a
    single observation are left out.

    A model of COLMAP's keeps its keypoints and points. Features and pairs come from its `database`, if given.
    Otherwise the photos are described again: a keypoint of the model takes the descriptor found within a
    pixel of it. The model's own tracks replace matches.

    Args:
        model: output of a run, or a COLMAP model folder.
        photos: folder of new photos; those that are in the model already are left out, and a name that is
            taken gets the folder's name before it.
        output: workspace for the result; not the model's.
        frozen: keep poses, intrinsics and points of the model to the last bit; else all are adjusted.
        images: folder of the model's photos, where they have moved; needed with a COLMAP model.
        database: database of a COLMAP model.
        config: all options but the mapper; None takes those of the model's run, else the defaults.
        progress: receives the progress of each stage.

    Raises:
        InputError: no such model, a damaged one, one of a single photo, missing photos of it, other options
            than it was made with, or no new photo.
        WorkspaceError: as `run`.
    """
    images, database = (None if p is None else Path(p).expanduser() for p in (images, database))
    photos, output = Path(photos).expanduser(), Path(output)
    given = open_given(Path(model), images=images, database=database)
    _require_pair(given)
    options = _options(config or given.config() or Config())
    require_photos(photos)
    with photo_session(given.root, output, options, progress) as session:
        collection, store, new = _described(session, photos, given)
        models = [_held_by_two(model) for model in models_in_database(given.models, store)]
        remember_sources(session.workspace.cache, collection)
        key = content_key("extend", _VERSION, given.key, frozen, sorted(new))
        addition = ImageAddition(ExistingModels(models, frozen=frozen), new, key)
        loop = _grown(session, collection, store, addition, given)
        with session.survived("cameras of their own"):
            if found := other_cameras(session, collection, store, loop.models, among=new):
                collection, loop = with_other_cameras(
                    session,
                    store,
                    (collection, loop),
                    found,
                    lambda better: _grown(session, better, store, addition, given),
                )
        loop = loop if frozen else _moved_back(session, loop, models)
        frame = GivenFrame.of(given.root, given.registered)
        result = finish(session, collection, store, loop, existing=frame)
        extension = Extension.of(result, addition, given, collection)
        session.sharing.write_json(output / "extension.json", extension.to_dict())
        return extension


def _options(config: Config) -> Config:
    """Those of the model's run but for the mapper; pairs are matched as they were there."""
    pointmaps = config.mast3r.pointmaps or config.register.mapper == "alignment"
    register = replace(config.register, mapper="graph", poses=None)
    return replace(config, register=register, mast3r=replace(config.mast3r, pointmaps=pointmaps))


def _require_pair(given: GivenModel) -> None:
    """Refuse the scene of a single photo, whose points no second photo holds."""
    if len(given.registered) > 1:
        return
    raise InputError(
        f"{given.root} is a model of one photo: depth alone holds its points, and no pair its pose",
        hint="run `sfm run` on this photo and the new ones; `sfm localize` finds the pose of a photo in it",
    )


def _held_by_two(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model without points of one observation, which no adjustment takes."""
    single = [i for i, point in model.points3D.items() if point.track.length() < 2]
    if not single:
        return model
    held = copy.deepcopy(model)
    for point_id in single:
        held.delete_point3D(point_id)
    return held


def _described(
    session: PhotoSession, photos: Path, given: GivenModel
) -> tuple[Collection, FeatureDatabase, frozenset[str]]:
    """The images of the model and the new ones, their features, and the names of the new ones."""
    begin(given, session.workspace, session.backend.keys())
    collection, new = model_and_new_photos(session, photos, given)
    store = FeatureDatabase(session.workspace.database)
    store.sync(collection, session.backend.keys())
    load_features(given, store)
    collection, store = with_features(session, collection)
    take_over_features(session, given, store)
    return collection, store, new


def _grown(
    session: PhotoSession,
    collection: Collection,
    database: FeatureDatabase,
    addition: ImageAddition,
    given: GivenModel,
) -> LoopResult:
    proposed, rank = propose_for_new(
        session, collection, database, new=addition.new, registered=given.registered
    )
    old = earlier_edges(session.workspace.cache, database)
    graph = matched(session, collection, proposed, database)
    graph = SceneGraph(graph.images, {**old, **graph.edges})
    return registered(session, collection, database, proposed, graph, rank, addition)


def _moved_back(
    session: PhotoSession, loop: LoopResult, given: Sequence[pycolmap.Reconstruction]
) -> LoopResult:
    """The models in the frame of the given ones; as they are where that fails."""
    with session.survived("frame of the model"):
        moved = tuple(_in_frame_of(model, given) for model in loop.models)
        loop = write_refined(session, replace(loop, models=moved))
    return loop


def _in_frame_of(
    model: pycolmap.Reconstruction, given: Sequence[pycolmap.Reconstruction]
) -> pycolmap.Reconstruction:
    """The model, transformed into the frame of the given model with which it shares most images."""
    base = ExistingModels(given).base_of(model)
    if base is None:
        return model
    if fit := fit_models(model, base):
        model.transform(fit.sim3)
    return model


def _apart(result: Result, new: frozenset[str], old: frozenset[str]) -> frozenset[str]:
    """New images that are in a model, but in none with an old one."""
    grown = {outcome.model for outcome in result.outcomes if outcome.name in old}
    registered = (o for o in result.outcomes if o.name in new and o.status is PhotoStatus.REGISTERED)
    return frozenset(outcome.name for outcome in registered if outcome.model not in grown)


def _outcomes(result: Result, new: frozenset[str], collection: Collection) -> tuple[PhotoOutcome, ...]:
    skipped = {skipped.name for skipped in collection.skipped}
    return tuple(outcome for outcome in result.outcomes if outcome.name in new | skipped)
