"""Relative rotations of verified pairs, and how well each agrees with the others.

Verification leaves fundamental matrices where no focal length is given, and rotations need one. The focal
length is chosen with which most triplets of images have consistent rotations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import networkx as nx
import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from ..scene.bearings import image_plane
from ..scene.camera_models import with_focal_length
from ..scene.pair_matches import PairMatches
from .measurements import Measurements, digest

Rotation = npt.NDArray[np.float64]
"""(3, 3): what turns directions in the frame of the camera of `pair.a` into that of `pair.b`."""

_MAX_MATCHES = 50  # of a pair, evenly spread: they only choose one of the poses that a matrix allows
_FOCAL_FACTORS = (0.5, 0.55, 0.6, 0.66, 0.72, 0.79, 0.86, 0.95, 1.04, 1.14, 1.25, 1.5, 1.8)
"""Of the longer side: from a wide angle to a short telephoto lens."""
_NUM_STRONGEST = 150  # pairs that choose among them
_MIN_TRIPLETS = 10  # fewer choose nothing: the cameras are taken as they are
_CLOSED_DEG = 1.0
_ESSENTIAL = (2, 3)  # calibrated and uncalibrated geometries; the others are of a homography


@dataclass(frozen=True, eq=False)  # without slots: a cached property
class _TwoView:
    """A verified pair with some of its matches, in the order of its images in the database."""

    geometry: pycolmap.TwoViewGeometry
    first: pycolmap.Camera
    second: pycolmap.Camera
    points: npt.NDArray[np.float64]
    points_to: npt.NDArray[np.float64]
    flipped: bool
    """Whether the first image is `pair.b`."""

    def rotation(self, focal_factor: float | None) -> Rotation | None:
        """With focal lengths that nobody gave set to this share of the longer side; None: as they are."""
        first, second = (_with_focal_length(camera, focal_factor) for camera in (self.first, self.second))
        geometry = pycolmap.TwoViewGeometry()
        geometry.config, geometry.H = self.geometry.config, self.geometry.H
        geometry.F, geometry.E = self.geometry.F, self.geometry.E
        known = all(camera.has_prior_focal_length or camera.is_spherical() for camera in (first, second))
        if geometry.F is not None and not known:
            geometry.E = image_plane(second).T @ geometry.F @ image_plane(first)
        elif geometry.F is None and geometry.E is not None:  # as of a panorama and a photo
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
        row = np.arange(len(self.points), dtype=np.uint32)
        geometry.inlier_matches = np.column_stack([row, row])
        if (geometry.E if int(geometry.config) in _ESSENTIAL else geometry.H) is None:
            return None
        found = pycolmap.estimate_two_view_geometry_pose(first, self.points, second, self.points_to, geometry)
        if not found or geometry.cam2_from_cam1 is None:
            return None
        matrix = np.asarray(geometry.cam2_from_cam1.rotation.matrix())
        return matrix.T if self.flipped else matrix

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What its rotation depends on."""
        cameras = tuple(
            (camera.model, camera.has_prior_focal_length, *camera.params.tolist())
            for camera in (self.first, self.second)
        )
        matrices = (self.geometry.F, self.geometry.E, self.geometry.H)
        known = tuple(None if matrix is None else digest(np.asarray(matrix)) for matrix in matrices)
        ends = digest(self.points), digest(self.points_to)
        return int(self.geometry.config), self.flipped, cameras, known, ends


def read_rotations(
    database: Path, matches: PairMatches, measured: Measurements | None = None
) -> dict[Pair, Rotation]:
    """The rotation of each pair of `matches` that has one, from its geometry in a COLMAP database."""
    views, before = _read(database, matches), measured or Measurements()
    factor = _focal_factor(matches, views, before)
    rotations = {pair: _rotation(view, factor, before) for pair, view in views.items()}
    return {pair: matrix for pair, matrix in rotations.items() if matrix is not None}


def rotation_errors(
    rotations: Mapping[Pair, Rotation], trusted: nx.Graph[str], asked: Iterable[Pair]
) -> dict[Pair, float]:
    """Degrees between the rotation of each pair `asked` and that which the trusted pairs give its images.

    The rotations of the trusted pairs are averaged robustly (Chatterjee and Govindu 2013, "Efficient and
    Robust Large-Scale Rotation Averaging", as COLMAP has it). Pairs without a rotation, and those between
    images that the trusted pairs do not turn, are left out.
    """
    turned: dict[str, tuple[int, Rotation]] = {}
    for index, part in enumerate(nx.connected_components(trusted)):
        edges = [pair for pair in sorted(Pair.of(*e) for e in trusted.edges(part)) if pair in rotations]
        for name, matrix in _averaged({pair: rotations[pair] for pair in edges}).items():
            turned[name] = index, matrix
    errors = {}
    for pair in asked:
        if pair in rotations and pair.a in turned and pair.b in turned:
            (part_a, a), (part_b, b) = turned[pair.a], turned[pair.b]
            if part_a == part_b:
                errors[pair] = _angle_deg(b.T @ rotations[pair] @ a)
    return errors


def _read(database: Path, matches: PairMatches) -> dict[Pair, _TwoView]:
    views = {}
    with pycolmap.Database.open(database) as db:
        cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
        images = {image.image_id: image for image in db.read_all_images()}
        for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
            first, second = (images[i] for i in pycolmap.pair_id_to_image_pair(pair_id))
            pair = Pair.of(first.name, second.name)
            if pair not in matches.inliers:
                continue
            flipped = pair.a != first.name
            ends = matches.inliers[pair][:, ::-1] if flipped else matches.inliers[pair]
            some = ends[np.linspace(0, len(ends) - 1, min(_MAX_MATCHES, len(ends))).astype(np.int64)]
            views[pair] = _TwoView(
                geometry,
                cameras[first.camera_id],
                cameras[second.camera_id],
                matches.keypoints[first.name][some[:, 0]],
                matches.keypoints[second.name][some[:, 1]],
                flipped,
            )
    return views


def _rotation(view: _TwoView, factor: float | None, measured: Measurements) -> Rotation | None:
    return measured.get(("rotation", view.key, factor), lambda: view.rotation(factor))


def _focal_factor(
    matches: PairMatches, views: Mapping[Pair, _TwoView], measured: Measurements
) -> float | None:
    """The factor that closes most triplets of the strongest pairs; None where all focal lengths are given."""
    unknown = [
        pair
        for pair, view in views.items()
        if not (view.first.has_prior_focal_length and view.second.has_prior_focal_length)
    ]
    strongest = sorted(unknown, key=lambda pair: (-len(matches.inliers[pair]), pair))[:_NUM_STRONGEST]
    triplets = list(_triplets(strongest))
    if len(triplets) < _MIN_TRIPLETS:
        return None
    closed = {
        f: _num_closed({p: _rotation(views[p], f, measured) for p in strongest}, triplets)
        for f in _FOCAL_FACTORS
    }
    best = max(closed, key=lambda factor: closed[factor])
    return best if closed[best] else None


def _num_closed(
    rotations: Mapping[Pair, Rotation | None], triplets: Sequence[tuple[Pair, Pair, Pair]]
) -> int:
    count = 0
    for first, second, across in triplets:
        ab, bc, ac = rotations[first], rotations[second], rotations[across]
        if ab is not None and bc is not None and ac is not None:
            count += _angle_deg(ac.T @ bc @ ab) < _CLOSED_DEG
    return count


def _triplets(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, Pair, Pair]]:
    """Pairs (a, b), (b, c), (a, c) with a < b < c."""
    graph = nx.Graph([(pair.a, pair.b) for pair in pairs])
    for a, b in sorted(pairs):
        for c in sorted(nx.common_neighbors(graph, a, b)):
            if c > b:
                yield Pair(a, b), Pair(b, c), Pair(a, c)


def _averaged(rotations: Mapping[Pair, Rotation]) -> dict[str, Rotation]:
    """Rotation of each image's camera from the world, for connected sets of three images or more."""
    names = sorted({name for pair in rotations for name in (pair.a, pair.b)})
    if len(names) < 3:
        return {}
    id_of = {name: number for number, name in enumerate(names, start=1)}
    frames = pycolmap.Reconstruction()
    frames.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 1, 1, 1))
    for name, image_id in id_of.items():
        frames.add_image_with_trivial_frame(pycolmap.Image(name=name, camera_id=1, image_id=image_id))
    graph = pycolmap.PoseGraph()
    for pair, matrix in rotations.items():
        edge = pycolmap.PoseGraphEdge()
        edge.cam2_from_cam1 = pycolmap.Rigid3d(pycolmap.Rotation3d(matrix), np.zeros(3))
        edge.valid = True
        graph.add_edge(id_of[pair.a], id_of[pair.b], edge)
    options = pycolmap.RotationEstimatorOptions()
    options.random_seed = 0
    if not pycolmap.run_rotation_averaging(options, graph, frames, []):
        return {}
    images = {name: frames.image(image_id) for name, image_id in id_of.items()}
    return {
        name: np.asarray(image.cam_from_world().rotation.matrix())
        for name, image in images.items()
        if image.has_pose
    }


def _with_focal_length(camera: pycolmap.Camera, factor: float | None) -> pycolmap.Camera:
    if factor is None or camera.has_prior_focal_length:
        return camera
    return with_focal_length(camera, factor * max(camera.width, camera.height))


def _angle_deg(rotation: Rotation) -> float:
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))
