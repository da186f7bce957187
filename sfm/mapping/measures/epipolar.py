"""How far verified matches lie from their epipolar lines, by the poses of a model that stands still."""

from __future__ import annotations

from collections.abc import Iterable, Set

import numpy as np
import numpy.typing as npt
import pycolmap

from kernels.sampson import angular_distances, sampson_distances, sampson_medians
from retrieval import Pair

from ..scene.bearings import bearing_vectors, px_per_radian
from ..scene.scene import Scene

Array = npt.NDArray[np.float64]
Ids = npt.NDArray[np.integer]


class Views:
    """Registered images, their matched keypoints unprojected once; the model must not change meanwhile."""

    def __init__(self, scene: Scene, model: pycolmap.Reconstruction) -> None:
        self._scene, self._model = scene, model
        self._ids = {model.image(image_id).name: image_id for image_id in model.reg_image_ids()}
        self._rays: dict[str, Array] = {}
        """Of all keypoints of an image, (N, 3); NaN where none was asked for yet."""
        self._poses: dict[str, tuple[Array, Array, float]] = {}
        self._spherical: set[str] = set()

    def moved(self, names: Set[str], there_from_here: pycolmap.Sim3d) -> Views:
        """The same, some images at another place."""
        views = Views(self._scene, self._model)
        views._rays = self._rays
        for name in names & self._ids.keys():
            here = self._model.image(self._ids[name]).cam_from_world()
            views._place(name, there_from_here.transform_camera_world(here))
        return views

    def errors_px(self, pair: Pair) -> Array:
        """Sampson distance of the matches of two registered images, px; (N,)."""
        matches = self._scene.matches(pair)
        first, second = (
            self._rays_of(name, [column])[column] for name, column in zip(pair, matches.T, strict=True)
        )
        essential, focal_px = self._geometry(pair)
        measure = angular_distances if self._spherical.intersection(pair) else sampson_distances
        return measure(first, second, essential) * focal_px

    def median_errors_px(self, pairs: Iterable[Pair]) -> dict[Pair, float]:
        """The median of these distances, px, of each of `pairs` whose images are both registered."""
        within = [pair for pair in pairs if pair.a in self._ids and pair.b in self._ids]
        for name in {name for pair in within for name in pair}:
            self._pose(name)
        around = [pair for pair in within if self._spherical.intersection(pair)]
        found = {pair: float(np.median(self.errors_px(pair))) for pair in around}
        within = [pair for pair in within if pair not in found]
        if not within:
            return found
        matches = [self._scene.matches(pair) for pair in within]
        matched: dict[str, list[Ids]] = {}
        for pair, rows in zip(within, matches, strict=True):
            for name, column in zip(pair, rows.T, strict=True):
                matched.setdefault(name, []).append(column)
        rays = [self._rays_of(name, columns) for name, columns in matched.items()]
        begin = dict(zip(matched, np.cumsum([0, *map(len, rays)]).tolist(), strict=False))
        num_matches = [len(rows) for rows in matches]
        offsets = np.array([(begin[pair.a], begin[pair.b]) for pair in within])
        essentials, focals_px = zip(*map(self._geometry, within), strict=True)
        medians = sampson_medians(
            np.concatenate(rays),
            np.concatenate(matches) + np.repeat(offsets, num_matches, axis=0),
            np.cumsum(num_matches),
            np.array(essentials),
        )
        return found | dict(zip(within, (medians * np.array(focals_px)).tolist(), strict=True))

    def _geometry(self, pair: Pair) -> tuple[Array, float]:
        """What takes directions of `pair.a` to lines in `pair.b`, (3, 3), and the mean pixels per radian."""
        (turn_a, shift_a, focal_a), (turn_b, shift_b, focal_b) = self._pose(pair.a), self._pose(pair.b)
        turn = turn_b @ turn_a.T
        t_x, t_y, t_z = (shift_b - turn @ shift_a).tolist()
        cross = np.array([[0, -t_z, t_y], [t_z, 0, -t_x], [-t_y, t_x, 0]])
        return cross @ turn, (focal_a + focal_b) / 2

    def _pose(self, name: str) -> tuple[Array, Array, float]:
        """Rotation and translation of `cam_from_world`, and pixels per radian."""
        if name not in self._poses:
            self._place(name, self._model.image(self._ids[name]).cam_from_world())
        return self._poses[name]

    def _place(self, name: str, cam_from_world: pycolmap.Rigid3d) -> None:
        camera = self._model.camera(self._model.image(self._ids[name]).camera_id)
        self._poses[name] = (
            cam_from_world.rotation.matrix(),
            cam_from_world.translation,
            px_per_radian(camera),
        )
        if camera.is_spherical():
            self._spherical.add(name)

    def _rays_of(self, name: str, matched: Iterable[Ids]) -> Array:
        """Of all keypoints of an image, (N, 3), some of which are needed: the rest may be NaN."""
        image_id = self._ids[name]
        keypoints = self._scene.keypoints(image_id)
        if name not in self._rays:
            self._rays[name] = np.full((len(keypoints), 3), np.nan)
        rays = self._rays[name]
        is_missing = np.zeros(len(keypoints), bool)
        for indices in matched:
            is_missing[indices] = True
        is_missing &= np.isnan(rays[:, 2])  # what it is for no ray that is known
        if np.any(is_missing):
            camera = self._model.camera(self._model.image(image_id).camera_id)
            rays[is_missing] = bearing_vectors(keypoints[is_missing], camera)
        return rays
