"""`sfm localize`: poses of photos against a model that stays as it is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Edge, Pair, Reason
from retrieval.hits import ImageIndex
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config
from sfm.matching.dense.inference.pixel_queries import PixelQueries
from sfm.pairs.failed_pairs import Failures
from sfm.pairs.photo_index import errors_for_users, open_index
from sfm.pipelines.run import photo_session
from sfm.reference.collection import model_and_new_photos
from sfm.reference.colmap_features import load_features, take_over_features
from sfm.reference.model import GivenModel, open_given
from sfm.reference.workspace import begin, models_in_database
from sfm.stages.register import match_edges
from sfm.stages.session import SILENT, AnyPath, PhotoSession
from sfm.stages.stages import with_features
from sfm.types import CameraSpec, Collection, Photo
from sfm.workspace.progress import Progress

from .dense_queries import DENSE_PARTNERS, Observations, dense_error_px, observations, pixel_queries
from .query_pose import Intrinsics, QueryPose, estimate_pose, is_enough

_PARTNERS = (8, 12)
"""Photos of the model that a query is matched with at first, and then where these are not enough."""
_CONVENTION = (
    "cam_from_world as COLMAP: X_cam = R_cw X_world + t_cw, x right, y down, z forward, in MODEL's unit; "
    "covariance 6x6 of (rotation vector in rad, translation): X_cam = exp(r) R_cw X_world + t_cw + d"
)


Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Localised:
    """A query that has a pose."""

    name: str
    pose: QueryPose
    model: int
    """Index of the model in MODEL, largest first."""
    partners: tuple[str, ...]
    """Photos of the model whose points it is from, most points first."""


@dataclass(frozen=True, slots=True)
class NotLocalised:
    """A query without a pose, and the step that failed."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Localisation:
    """What came of each query, by name."""

    output: Path
    queries: tuple[Localised | NotLocalised, ...]

    @property
    def num_localised(self) -> int:
        """Queries that have a pose."""
        return sum(isinstance(query, Localised) for query in self.queries)

    def to_dict(self) -> dict[str, object]:
        """As JSON values, for `OUT/poses.json`."""
        return {"convention": _CONVENTION, "queries": [_as_dict(query) for query in self.queries]}


def localize(
    model: AnyPath,
    photos: AnyPath,
    *,
    output: AnyPath,
    images: AnyPath | None = None,
    database: AnyPath | None = None,
    dense: bool = False,
    config: Config | None = None,
    progress: Progress = SILENT,
) -> Localisation:
    """Find the poses of photos against a model without adding them; each independently of the others.

    (With the mast3r backend, keypoints that an earlier query has made in a photo of the model stay.)

    A query is matched with the photos of the model that look most like it; their points give its pose by
    RANSAC and refinement. Intrinsics are those of the model's camera where EXIF identifies it;
    with another camera's EXIF the focal length is estimated along with the pose, without any the model's
    camera is tried first.

    Args:
        model: output of a run, or a COLMAP model folder.
        photos: folder of queries.
        output: workspace; receives `poses.json` and keeps features and matches of the queries.
        images: as for `extend`.
        database: as for `extend`.
        dense: with backend mast3r, ask for every point of the model that the 20 most similar photos see,
            instead of keypoints that match.
        config: all options; None takes those of the run that made the model, else the defaults.
        progress: receives the progress of each stage.

    Raises:
        ConfigError: `dense` with another backend.
        InputError: as `extend`.
        WorkspaceError: as `run`.
    """
    images, database = (None if p is None else Path(p).expanduser() for p in (images, database))
    given = open_given(Path(model), images=images, database=database)
    output = Path(output)
    options = config or given.config() or Config()
    with photo_session(given.root, output, options, progress) as session:
        queries = pixel_queries(session.backend) if dense else None
        begin(given, session.workspace, session.backend.keys())
        everyone, new = model_and_new_photos(session, Path(photos).expanduser(), given)
        choices = {p.name: _choices(p, everyone, given) for p in everyone.photos if p.name in new}
        everyone = _with_cameras_of_their_own(everyone, new)
        store = FeatureDatabase(session.workspace.database)
        store.sync(everyone, session.backend.keys())
        load_features(given, store)
        everyone, store = with_features(session, everyone)
        take_over_features(session, given, store)
        work = _Work(session, everyone, store, models_in_database(given.models, store), given, queries)
        found = [work.localise(name, choices[name]) for name in sorted(new & set(everyone.names))]
        skipped = [NotLocalised(s.name, s.reason) for s in everyone.skipped]
        done = Localisation(output, tuple(sorted([*found, *skipped], key=lambda query: query.name)))
        session.sharing.write_json(output / "poses.json", done.to_dict())
        return done


def _choices(photo: Photo, collection: Collection, given: GivenModel) -> list[Intrinsics]:
    """Intrinsics that a query may have, likeliest first."""
    spec = collection.cameras[photo.camera_id]
    theirs = [
        model.camera(camera_id)
        for model in given.models
        for camera_id in sorted({model.image(i).camera_id for i in model.reg_image_ids()})
    ]
    own = _camera(spec)
    same = next((camera for camera in theirs if camera.camera_id == spec.camera_id), None)
    if spec.fixed:
        return [Intrinsics(own, "given")]
    if same is not None and photo.exif.focal_px is not None:
        return [Intrinsics(same, "model")]
    if photo.exif.focal_px is not None:
        return [Intrinsics(own, "exif")]
    return [*([Intrinsics(same, "model")] if same is not None else []), Intrinsics(own, "estimated")]


def _camera(spec: CameraSpec) -> pycolmap.Camera:
    camera = pycolmap.Camera.create_from_model_name(spec.camera_id, spec.model, 1.0, spec.width, spec.height)
    camera.params = list(spec.params)
    return camera


def _with_cameras_of_their_own(collection: Collection, new: frozenset[str]) -> Collection:
    """Queries must not depend on each other, so none shares a camera."""
    cameras, photos = dict(collection.cameras), []
    for photo in collection.photos:
        if photo.name in new:
            camera_id = 1 + max(cameras)
            cameras[camera_id] = replace(collection.cameras[photo.camera_id], camera_id=camera_id)
            photo = replace(photo, camera_id=camera_id)
        photos.append(photo)
    return replace(collection, photos=tuple(photos), cameras=cameras)


@dataclass(slots=True)
class _Work:
    session: PhotoSession
    collection: Collection
    database: FeatureDatabase
    models: Sequence[pycolmap.Reconstruction]
    given: GivenModel
    queries: Callable[[], PixelQueries] | None
    """With `dense`: made when the photos are described."""
    index: ImageIndex | None = None

    def localise(self, name: str, choices: Sequence[Intrinsics]) -> Localised | NotLocalised:
        """The pose of one query; a few more photos are asked where the first are not enough."""
        ranked = self._ranked(name)
        if not ranked:
            return NotLocalised(name, "no photo of the model looks like it at all")
        outcome: Localised | NotLocalised = NotLocalised(name, "")
        if self.queries is not None:
            observed, unasked = observations(self.queries(), self.models, name, ranked[:DENSE_PARTNERS])
            outcome = self._best(name, choices, observed, self._dense_error_px(name))
            outcome = _with_failures(outcome, unasked.values())
            self.session.workspace.events.emit("localize", "query", name=name, outcome=_as_dict(outcome))
            return outcome
        tried: list[str] = []
        for count in _PARTNERS:
            tried += ranked[len(tried) : len(tried) + count]
            edges = {Pair.of(name, other): Edge(0.0, Reason.USER) for other in tried}
            failed = match_edges(self.session, self.collection, self.database, edges).failed
            outcome = self._located(name, tried, choices)
            if isinstance(outcome, Localised):
                break
            outcome = _with_failures(outcome, failed.values())
        self.session.workspace.events.emit("localize", "query", name=name, outcome=_as_dict(outcome))
        return outcome

    def _ranked(self, name: str) -> list[str]:
        """Photos with a pose that look like the query, best first, whatever other queries there are."""
        session, config = self.session, self.session.config
        old = replace(
            self.collection,
            photos=tuple(p for p in self.collection.photos if p.name in self.given.cameras),
        )
        with errors_for_users():
            if self.index is None:
                self.index = open_index(
                    old,
                    self.database,
                    cache_dir=session.workspace.cache,
                    backend=session.backend,
                    config=config.retrieval,
                    seed=config.run.seed,
                )
            descriptors = session.backend.retrieval_descriptors(old, self.database, [name])[name]
            hits = self.index.query(descriptors, len(old.photos)) if len(descriptors) else []
        return [hit.name for hit in hits if hit.name in self.given.registered]

    def _located(
        self, name: str, partners: Sequence[str], choices: Sequence[Intrinsics]
    ) -> Localised | NotLocalised:
        config = self.session.config.register
        matches = self._matches(name, partners)
        if not matches:
            return NotLocalised(name, f"none of the {len(partners)} most similar photos matches it")
        xy = self.database.keypoint_positions()[name].astype(np.float64)
        observed = []
        for model in self.models:
            seen = list(_points(model, matches))
            rows, ids = [row for row, _, _ in seen], [point for _, point, _ in seen]
            observed.append(Observations(xy[rows], ids, [partner for _, _, partner in seen]))
        mapper = config.colmap.made("incremental_mapper")
        # Within the error of a good observation; within that of registration where too few are so good. No
        # bundle adjustment follows that would filter the few outliers that a wide threshold lets pass. They
        # can move a pose by ten of the standard deviations that they leave it with.
        errors = sorted((mapper.filter_max_reproj_error, mapper.abs_pose_max_error))
        return self._best(name, choices, observed, *errors)

    def _best(
        self,
        name: str,
        choices: Sequence[Intrinsics],
        observed: Sequence[Observations],
        *max_errors_px: float,
    ) -> Localised | NotLocalised:
        """The pose in the model in which most points agree with one."""
        best: Localised | None = None
        for number, (model, seen) in enumerate(zip(self.models, observed, strict=True)):
            if len(seen.points) < 4:
                continue
            xyz = np.array([model.point3D(i).xyz for i in seen.points])
            pose = self._pose(seen.xy, xyz, choices, max_errors_px)
            if pose and (best is None or pose.num_inliers > best.pose.num_inliers):
                votes = Counter(p for p, ok in zip(seen.partners, pose.inliers, strict=True) if ok)
                best = Localised(name, pose, number, tuple(p for p, _ in votes.most_common()))
        needed = self.session.config.register.colmap.made("incremental_mapper").abs_pose_min_num_inliers
        if best is None:
            most = max((len(seen.points) for seen in observed), default=0)
            return NotLocalised(name, f"it sees only {most} points of the model, and they give no pose")
        if not is_enough(best.pose, needed):
            return NotLocalised(
                name,
                f"only {best.pose.num_inliers} of the {best.pose.num_points} points that it sees agree on a "
                f"pose, {needed} are needed",
            )
        return best

    def _pose(
        self, xy: Array, xyz: Array, choices: Sequence[Intrinsics], max_errors_px: Sequence[float]
    ) -> QueryPose | None:
        """Within the first of the errors that enough points agree within."""
        pose, mapper = None, self.session.config.register.colmap.made("incremental_mapper")
        for error in max_errors_px:
            pose = estimate_pose(xy, xyz, choices, max_error_px=error, seed=self.session.config.run.seed)
            if pose is not None and is_enough(pose, mapper.abs_pose_min_num_inliers):
                break
        return pose

    def _dense_error_px(self, name: str) -> float:
        photo = next(photo for photo in self.collection.photos if photo.name == name)
        return dense_error_px(photo.width, photo.height)

    def _matches(self, name: str, partners: Sequence[str]) -> dict[str, np.ndarray]:
        """Verified matches (m, 2) with each partner: keypoints of the query, then of the partner."""
        ids = self.database.image_ids()
        found = {}
        verified = {pair for pair, record in self.database.pairs().items() if record.verified}
        # pycolmap reads single pairs, and this database is the output's own
        with pycolmap.Database.open(self.database.path) as db:
            for other in partners:
                if Pair.of(name, other) in verified:
                    geometry = db.read_two_view_geometry(ids[name], ids[other])
                    found[other] = np.asarray(geometry.inlier_matches, np.int64).reshape(-1, 2)
        return found


def _with_failures(outcome: Localised | NotLocalised, reasons: Iterable[str]) -> Localised | NotLocalised:
    """With why pairs of the query failed, where it has no pose."""
    words = Failures.of(reasons).words
    if isinstance(outcome, Localised) or not words:
        return outcome
    return replace(outcome, reason=f"{outcome.reason}. {words}".rstrip("."))


def _points(
    model: pycolmap.Reconstruction, matches: Mapping[str, np.ndarray]
) -> Iterator[tuple[int, int, str]]:
    """Each matched keypoint of the query with the point of most partners, and one of these partners."""
    images = {model.image(i).name: model.image(i) for i in model.reg_image_ids()}
    votes: defaultdict[int, Counter[int]] = defaultdict(Counter)
    first: dict[tuple[int, int], str] = {}
    for other in sorted(matches.keys() & images.keys()):
        points = images[other].points2D
        for row, index in matches[other].tolist():
            if index < len(points) and points[index].has_point3D():
                point = int(points[index].point3D_id)
                votes[row][point] += 1
                first.setdefault((row, point), other)
    for row in sorted(votes):
        point = min(votes[row], key=lambda p: (-votes[row][p], p))
        yield row, point, first[row, point]


def _as_dict(query: Localised | NotLocalised) -> dict[str, object]:
    match query:
        case NotLocalised(name=name, reason=reason):
            return {"name": name, "state": "not localised", "reason": reason}
        case Localised(name=name, pose=pose, model=model, partners=partners):
            return {
                "name": name,
                "state": "localised",
                "model": model,
                **pose.to_dict(),
                "partners": list(partners),
            }
