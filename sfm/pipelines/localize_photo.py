"""`sfm localize --reference`: poses of photos against one other photo, in metres."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pycolmap

from sfm.config.schema import Config
from sfm.errors import ConfigError, InputError, MissingDependencyError, WeightsError
from sfm.files.scratch import scratch_folder
from sfm.geometry.photo_pair.intrinsics_error import intrinsics_covariance
from sfm.geometry.photo_pair.pose import metric_pose
from sfm.geometry.photo_pair.values import Method, PairObservations
from sfm.ingest import ingest
from sfm.ingest.decode import open_photo
from sfm.ingest.discover import found_file
from sfm.ingest.names import model_name
from sfm.ingest.photo_intrinsics import PhotoIntrinsics, read_photo_intrinsics
from sfm.mapping.cameras.focal_priors import SIGMA_FOCAL
from sfm.mapping.scene.camera_models import a_sigma_away
from sfm.mast3r.values import NOISE_NETWORK_PX
from sfm.matching.dense.depth.matched_depth import MatchedDepth, MatchedDepthInference, PairFailedError
from sfm.matching.dense.inference.photos import EncodedPhotos, photo_maps
from sfm.matching.dense.inference.predictors import Loaded, open_predictor
from sfm.matching.dense.inference.token_cache import open_token_cache
from sfm.stages.session import SILENT, AnyPath
from sfm.types import Collection, Photo
from sfm.workspace.progress import Progress
from sfm.workspace.sharing import Sharing
from sfm.workspace.workspace import Workspace, opened_workspace

from .localize import NotLocalised
from .query_pose import Intrinsics, QueryPose, camera_dict

_CONVENTION = (
    "cam_from_world as COLMAP, the world being the camera of the reference photo: X_cam = R_cw X_world + "
    "t_cw, x right, y down, z forward, metres; covariance 6x6 of (rotation vector in rad, translation in m): "
    "X_cam = exp(r) R_cw X_world + t_cw + d"
)
_NO_METRES = "one photo gives metres only by the depth that a network sees in it"
_PHOTO_EACH = "--reference and --query take a photo each"
_HINT = (
    "backend=mast3r (`sfm weights` says how to get its weights); or make a model of several photos (sfm run) "
    "and localise against that: sfm localize MODEL PHOTOS -o OUT"
)


@dataclass(frozen=True, slots=True)
class LocalisedByPhoto:
    """A query that has a pose; the world is the camera of the reference photo."""

    name: str
    pose: QueryPose
    method: Method
    reference: Intrinsics
    """Of the reference photo."""


@dataclass(frozen=True, slots=True)
class PhotoLocalisation:
    """What came of each query, in the order in which they were given."""

    reference: str
    queries: tuple[LocalisedByPhoto | NotLocalised, ...]
    output: Path | None = None

    @property
    def num_localised(self) -> int:
        """Queries that have a pose."""
        return sum(isinstance(query, LocalisedByPhoto) for query in self.queries)

    def to_dict(self) -> dict[str, object]:
        """As JSON values, for `OUT/poses.json`."""
        return {
            "convention": _CONVENTION,
            "reference": self.reference,
            "queries": [_as_dict(query) for query in self.queries],
        }


def localize_photo(
    reference: AnyPath,
    queries: Sequence[AnyPath],
    *,
    output: AnyPath | None = None,
    intrinsics: AnyPath | None = None,
    root: AnyPath | None = None,
    config: Config | None = None,
    network: Loaded | None = None,
    progress: Progress = SILENT,
) -> PhotoLocalisation:
    """Find the poses of photos in the frame of one other photo, in metres; each independently of the others.

    The network of the mast3r backend matches each query with the reference and gives depth of both. The pose
    is by the essential matrix of the matches, with a length from the depths, or by PnP of the reference's
    points, whichever more matches agree with.

    Args:
        reference: photo whose camera is the world.
        queries: photos that are localised.
        output: workspace; receives `poses.json` and keeps the encoded photos. None keeps nothing.
        intrinsics: file with a line a photo, `PHOTO fx fy cx cy WIDTH HEIGHT`. Without it, or what `images`
            of the configuration gives, focal lengths are those of EXIF, else those that the network's points
            imply.
        root: folder that names of photos are relative to; None takes the nearest that holds all of them.
        config: all options; None takes the defaults.
        network: that is open already; None opens that of the configuration.
        progress: receives the progress of each stage.

    Raises:
        ConfigError: a backend without depth.
        InputError: the reference cannot be used, a query is no file, or the intrinsics do not fit.
        WeightsError, MissingDependencyError: there is no network, or none in metres, or not the device.
        WorkspaceError: as `run`.
    """
    config = config or Config()
    paths = [Path(path).expanduser().absolute() for path in (reference, *dict.fromkeys(queries))]
    _check_paths(paths)
    known = read_photo_intrinsics(Path(intrinsics).expanduser()) if intrinsics is not None else None
    if known is not None:
        for path in paths:
            known.of(path)
    loaded = network or opened_network(config)
    names = _names(paths, Path(root).expanduser().absolute() if root is not None else None)
    with _workspace(None if output is None else Path(output), paths[0]) as workspace:
        collection = _ingested(workspace, paths, names, config, progress)
        if known is not None:
            known.check(collection.photos)
        work = _Work.opened(config, collection, loaded, known, workspace, progress)
        found = tuple(work.localised(paths, names, progress))
        done = PhotoLocalisation(names[0], found, None if output is None else Path(output))
        if output is not None:
            Sharing(workspace, config).write_json(workspace.root / "poses.json", done.to_dict())
        return done


def _check_paths(paths: Sequence[Path]) -> None:
    """Refuse what is no file, and a reference among the queries."""
    if len(paths) < 2:
        raise InputError("no photo to localise", hint="give one or more: --query B.jpg")
    for path in paths:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(f"{path} {what}", hint=_PHOTO_EACH)
    try:
        with open_photo(paths[0]):
            pass
    except OSError as error:
        raise InputError(
            f"{paths[0]} cannot be used as reference: it is no photo that can be read",
            hint=_PHOTO_EACH,
        ) from error
    if paths[0] in paths[1:]:
        raise InputError(f"{paths[0]} is both the reference and a query", hint="give another photo as query")


def opened_network(config: Config) -> Loaded:
    """The network of the configuration, for several calls of `localize_photo`, whose errors it raises."""
    if config.backend not in ("auto", "mast3r"):
        raise ConfigError(f"backend={config.backend} cannot localise by one photo: {_NO_METRES}", hint=_HINT)
    try:
        loaded = open_predictor(config.mast3r)
    except (WeightsError, MissingDependencyError) as error:
        raise type(error)(f"{_NO_METRES}: {error}", hint=error.hint) from error
    if not loaded.predictor.is_metric:
        raise WeightsError(
            f"{_NO_METRES}, and these weights (mast3r.weights) give it in no known unit",
            hint="take those of MASt3R, which `sfm weights` names",
        )
    return loaded


def _names(paths: Sequence[Path], root: Path | None) -> list[str]:
    """A name for each photo: its path below the root."""
    base = root or Path(os.path.commonpath([path.parent for path in paths]))
    outside = next((path for path in paths if not path.is_relative_to(base)), None)
    if outside is not None:
        raise InputError(f"{outside} does not lie below {base}")
    return [model_name(path.relative_to(base).as_posix()) for path in paths]


@contextmanager
def _workspace(output: Path | None, reference: Path) -> Iterator[Workspace]:
    if output is not None:
        with opened_workspace(output, source=reference) as workspace:
            yield workspace
        return
    with scratch_folder() as folder, Workspace(folder / "out", source=reference) as workspace:
        yield workspace


def _ingested(
    workspace: Workspace, paths: Sequence[Path], names: Sequence[str], config: Config, progress: Progress
) -> Collection:
    """The photos, read and checked; which of them share a camera is decided as everywhere."""
    with scratch_folder() as nothing:
        collection = ingest(
            nothing,
            images_dir=workspace.images,
            cache_dir=workspace.cache,
            config=replace(config.images, rig_config=None),
            threads=config.run.num_threads,
            events=workspace.events,
            progress=progress,
            min_photos=0,
            earlier=[found_file(name, path) for name, path in zip(names, paths, strict=True)],
        )
    return collection


@dataclass(frozen=True, slots=True)
class _Work:
    config: Config
    photos: Mapping[Path, Photo]
    """By the user's file."""
    collection: Collection
    inference: MatchedDepthInference
    failed: Mapping[str, str]
    """Photos that the network could not take, and why."""
    known: PhotoIntrinsics | None

    @classmethod
    def opened(
        cls,
        config: Config,
        collection: Collection,
        loaded: Loaded,
        known: PhotoIntrinsics | None,
        workspace: Workspace,
        progress: Progress,
    ) -> _Work:
        """All photos encoded."""
        dense = config.mast3r
        maps, refused = photo_maps(collection, dense.image_size)
        photos = {photo.name: photo for photo in collection.photos if photo.name in maps}
        tokens = open_token_cache(workspace.cache, loaded.predictor, dense)
        threads = config.run.num_threads
        encoded = EncodedPhotos(photos, maps, loaded.predictor, tokens, dense.image_size, threads)
        _, failed = encoded.encode_missing(progress)
        inference = MatchedDepthInference(loaded.predictor, encoded, dense)
        by_file = {photo.source: photo for photo in collection.photos}
        return cls(config, by_file, collection, inference, {**refused, **failed}, known)

    def localised(
        self, paths: Sequence[Path], names: Sequence[str], progress: Progress
    ) -> Iterator[LocalisedByPhoto | NotLocalised]:
        """What comes of each query, all but the first of the paths.

        Raises:
            InputError: the reference cannot be used.
        """
        if why := self._unusable(paths[0], names[0]):
            raise InputError(f"{paths[0]} cannot be used as reference: {why}")
        with progress.task("match", len(paths) - 1, unit="pairs") as task:
            for path, name in zip(paths[1:], names[1:], strict=True):
                why = self._unusable(path, name)
                reference = self.photos[paths[0]]
                yield NotLocalised(name, why) if why else self._localised(reference, self.photos[path], name)
                task.advance(1)

    def _unusable(self, path: Path, name: str) -> str:
        """Why a photo cannot be used; empty where it can."""
        if path not in self.photos:
            reasons = {skipped.name: skipped.reason for skipped in self.collection.skipped}
            return reasons.get(name, "it cannot be read")
        return self.failed.get(self.photos[path].name, "")

    def _localised(self, reference: Photo, query: Photo, name: str) -> LocalisedByPhoto | NotLocalised:
        try:
            found = self.inference.of(reference.name, query.name)
        except PairFailedError as error:
            return NotLocalised(name, str(error))
        is_one = reference.camera_id == query.camera_id
        focals = _of_one_camera(found.focal_a, found.focal_b) if is_one else (found.focal_a, found.focal_b)
        ours, theirs = self._intrinsics(reference, focals[0]), self._intrinsics(query, focals[1])
        pair = _observations(found, ours.camera, theirs.camera)
        solve = partial(metric_pose, max_error_px=self._error_px(reference, query), seed=self.config.run.seed)
        pose = solve(pair)
        count, needed = len(found.matches.confidence), self.config.verify.min_num_inliers
        if pose is None:
            return NotLocalised(name, f"its {count} matches with {reference.name} give no pose")
        if pose.num_inliers < needed:
            return NotLocalised(
                name,
                f"only {pose.num_inliers} of its {count} matches with {reference.name} agree on a pose, "
                f"{needed} are needed",
            )
        others = _other_pairs(pair, ours, theirs, is_one=is_one)
        covariance = pose.covariance + intrinsics_covariance(pose, others, solve)
        located = QueryPose(
            pose.b_from_a, theirs.camera, theirs.source, count, pose.inliers, pose.error_px, covariance
        )
        return LocalisedByPhoto(name, located, pose.method, ours)

    def _error_px(self, *photos: Photo) -> float:
        """Largest error of an inlier, which a pixel of the network's image bounds from below."""
        maps = self.inference.photos.maps
        pixel = max(maps[photo.name].photo_px for photo in photos)
        return max(self.config.verify.max_error_px, NOISE_NETWORK_PX * pixel)

    def _intrinsics(self, photo: Photo, focal_px: float) -> Intrinsics:
        """Given, else by EXIF, else by the network's points."""
        spec = self.collection.cameras[photo.camera_id]
        if self.known is not None:
            given = self.known.of(photo.source)
            return Intrinsics(_camera(given.model, given.size, given.params), "given")
        if spec.fixed or photo.exif.focal_px is not None:
            source = "given" if spec.fixed else "exif"
            return Intrinsics(_camera(spec.model, (spec.width, spec.height), spec.params), source)
        if not focal_px > 0:
            return Intrinsics(_camera(spec.model, (spec.width, spec.height), spec.params), "default")
        params = (focal_px, spec.width / 2, spec.height / 2)
        return Intrinsics(_camera("SIMPLE_PINHOLE", (spec.width, spec.height), params), "pointmaps")


def _camera(model: str, size: tuple[int, int], params: Sequence[float]) -> pycolmap.Camera:
    camera = pycolmap.Camera.create_from_model_name(1, model, 1.0, *size)
    camera.params = list(params)
    return camera


def _observations(
    found: MatchedDepth, reference: pycolmap.Camera, query: pycolmap.Camera
) -> PairObservations:
    xy_a, xy_b = (np.asarray(xy, np.float64) for xy in (found.matches.xy_a, found.matches.xy_b))
    return PairObservations(xy_a, xy_b, found.depth_a, found.depth_b, reference, query)


def _of_one_camera(*focals_px: float) -> tuple[float, float]:
    """The focal length of the camera of two photos, for each: the geometric mean of those that are known."""
    known = [focal for focal in focals_px if focal > 0]
    focal = float(np.exp(np.mean(np.log(known)))) if known else np.nan
    return focal, focal


def _other_pairs(
    pair: PairObservations, ours: Intrinsics, theirs: Intrinsics, *, is_one: bool
) -> list[tuple[PairObservations, ...]]:
    """The same matches by intrinsics that are as likely where nobody gave them; `is_one`: of one camera."""
    moved_a, moved_b = (
        [] if known.source == "given" else a_sigma_away(known.camera, SIGMA_FOCAL) for known in (ours, theirs)
    )
    if is_one:
        return [
            tuple(replace(pair, camera_a=a, camera_b=b) for a, b in zip(*ends, strict=True))
            for ends in zip(moved_a, moved_b, strict=True)
        ]
    return [
        *(tuple(replace(pair, camera_a=camera) for camera in ends) for ends in moved_a),
        *(tuple(replace(pair, camera_b=camera) for camera in ends) for ends in moved_b),
    ]


def _as_dict(query: LocalisedByPhoto | NotLocalised) -> dict[str, object]:
    match query:
        case NotLocalised(name=name, reason=reason):
            return {"name": name, "state": "not localised", "reason": reason}
        case LocalisedByPhoto(name=name, pose=pose, method=method, reference=reference):
            # What the pose is from are matches; `num_points` is for poses against a model.
            values = {"num_matches": pose.num_points, **pose.to_dict()}
            del values["num_points"]
            return {
                "name": name,
                "state": "localised",
                "method": method,
                **values,
                "reference_camera": camera_dict(reference.camera, reference.source),
            }
