"""`sfm localize`: poses of photos against a model that stays as it is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Edge, Pair, Reason, RetrievalConfig
from retrieval.hits import ImageIndex
from retrieval.metadata_pairs import from_pairs_file
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config
from sfm.errors import ConfigError
from sfm.exports.exported_depth import read_exported_depth
from sfm.ingest import require_photos
from sfm.ingest.photo_intrinsics import PhotoIntrinsics, read_photo_intrinsics
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
from sfm.types import Collection
from sfm.workspace.progress import Progress

from .dense_queries import DENSE_PARTNERS, DenseQueries, Observations, dense_error_px
from .query_cameras import camera_choices, with_cameras_of_their_own
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
    intrinsics: AnyPath | None = None,
    partners: int | None = None,
    dense: bool = False,
    coarse_to_fine: bool | None = None,
    depth: AnyPath | None = None,
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
        intrinsics: file of known intrinsics, a line a photo; the other queries' are found as said above.
        partners: photos of the model that a query is compared with, most similar first; None takes 20 with
            `dense`, else 8, and 12 more where these are not enough. With `retrieval.mode=pairs` they are
            those that `retrieval.pairs_file` lists first.
        dense: with backend mast3r, ask for every point of the model that the partners see, instead of
            keypoints that match.
        coarse_to_fine: with `dense`, ask again in windows of photos that are larger than the network's
            images; None does as `mast3r.coarse_to_fine` says.
        depth: with `dense`, a folder of `sfm export MODEL --to views`: ask for its pixels with depth in place
            of the model's points.
        config: all options; None takes those of the run that made the model, else the defaults.
        progress: receives the progress of each stage.

    Raises:
        ConfigError: `dense` with another backend, its options without it, or no partner.
        InputError: as `extend`; intrinsics or depth cannot be used.
        WorkspaceError: as `run`.
    """
    if not dense and (coarse_to_fine or depth is not None):
        raise ConfigError("coarse_to_fine and depth are of a dense query", hint="give dense (--dense), too")
    if partners is not None and partners < 1:
        raise ConfigError(f"partners must be at least 1, not {partners}")
    images, database, intrinsics, depth = (
        None if p is None else Path(p).expanduser() for p in (images, database, intrinsics, depth)
    )
    known = None if intrinsics is None else read_photo_intrinsics(intrinsics)
    exported = None if depth is None else read_exported_depth(depth)
    given = open_given(Path(model), images=images, database=database)
    options = config or given.config() or Config()
    output = Path(output)
    require_photos(Path(photos).expanduser())
    with photo_session(given.root, output, options, progress) as session:
        finer = options.mast3r.coarse_to_fine if coarse_to_fine is None else coarse_to_fine
        cameras = given.model_cameras if finer else None
        queries = DenseQueries.of(session.backend, cameras, exported) if dense else None
        found = _localised(session, given, Path(photos).expanduser(), known, queries, partners)
        done = Localisation(output, tuple(sorted(found, key=lambda query: query.name)))
        session.sharing.write_json(output / "poses.json", done.to_dict())
        return done


def _localised(
    session: PhotoSession,
    given: GivenModel,
    photos: Path,
    known: PhotoIntrinsics | None,
    dense: DenseQueries | None,
    partners: int | None,
) -> list[Localised | NotLocalised]:
    """Describe the photos, and locate the queries one by one."""
    begin(given, session.workspace, session.backend.keys())
    everyone, new = model_and_new_photos(session, photos, given)
    choices = {p.name: camera_choices(p, everyone, given, known) for p in everyone.photos if p.name in new}
    if dense is not None and dense.cameras is not None:
        of_queries = {name: some[0].camera for name, some in choices.items() if not some[0].free_focal}
        dense.cameras = {**dense.cameras, **of_queries}
    everyone = with_cameras_of_their_own(everyone, new)
    store = FeatureDatabase(session.workspace.database)
    store.sync(everyone, session.backend.keys())
    load_features(given, store)
    everyone, store = with_features(session, everyone)
    take_over_features(session, given, store)
    models = models_in_database(given.models, store)
    work = _Work(session, everyone, store, models, given, dense, partners)
    found = [work.localise(name, choices[name]) for name in sorted(new & set(everyone.names))]
    return [*found, *(NotLocalised(s.name, s.reason) for s in everyone.skipped)]


@dataclass(slots=True)
class _Work:
    session: PhotoSession
    collection: Collection
    database: FeatureDatabase
    models: Sequence[pycolmap.Reconstruction]
    given: GivenModel
    dense: DenseQueries | None
    partners: int | None
    index: ImageIndex | None = None
    listed: Mapping[str, Sequence[str]] | None = None

    def localise(self, name: str, choices: Sequence[Intrinsics]) -> Localised | NotLocalised:
        """The pose of one query; a few more photos are asked where the first are not enough."""
        ranked = self._ranked(name)
        if not ranked:
            return NotLocalised(name, "no photo of the model looks like it at all")
        outcome: Localised | NotLocalised = NotLocalised(name, "")
        if self.dense is not None:
            some = ranked[: self.partners or DENSE_PARTNERS]
            observed, unasked = self.dense.observations(self.models, name, some)
            outcome = self._best(name, choices, observed, self._dense_error_px(name))
            outcome = _with_failures(outcome, unasked.values())
            self.session.workspace.events.emit("localize", "query", name=name, outcome=_as_dict(outcome))
            return outcome
        tried: list[str] = []
        for count in _PARTNERS if self.partners is None else (self.partners,):
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
        """Photos with a pose that look like the query, best first, whatever other queries there are.

        In their place the ones that a list of pairs has beside it, in the order of the list.
        """
        session, config = self.session, self.session.config
        if self.listed is None:
            self.listed = _listed_pairs(self.collection, config.retrieval)
        if listed := self.listed.get(name):
            return [other for other in listed if other in self.given.registered]
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
            xyz = np.array([model.point3D(i).xyz for i in ids]).reshape(-1, 3)
            observed.append(Observations(xy[rows], xyz, [partner for _, _, partner in seen]))
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
        for number, seen in enumerate(observed):
            if len(seen.xyz) < 4:
                continue
            pose = self._pose(seen.xy, seen.xyz, choices, max_errors_px)
            if pose and (best is None or pose.num_inliers > best.pose.num_inliers):
                votes = Counter(p for p, ok in zip(seen.partners, pose.inliers, strict=True) if ok)
                best = Localised(name, pose, number, tuple(p for p, _ in votes.most_common()))
        needed = self.session.config.register.colmap.made("incremental_mapper").abs_pose_min_num_inliers
        if best is None:
            most = max((len(seen.xyz) for seen in observed), default=0)
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


def _listed_pairs(collection: Collection, config: RetrievalConfig) -> Mapping[str, Sequence[str]]:
    """Photos beside each photo in the list of pairs, in its order; none where there is no list."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    if "pairs" in config.modes and config.pairs_file is not None:
        names = [*collection.names, *(skipped.name for skipped in collection.skipped)]
        with errors_for_users():
            for pair in from_pairs_file(Path(config.pairs_file), names):
                found[pair.a].append(pair.b)
                found[pair.b].append(pair.a)
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
