"""Whether poses agree with the verified matches between registered photos."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from .scene import Scene
from .session import MapperSession

AGREED_PX = 4.0
"""Median distance to the epipolar lines up to which the poses of a settled model agree with a pair."""
CONTRADICTED_PX = 8.0
"""From here on they contradict it; a fresh pose is rough."""


def agreement(session: MapperSession, name: str) -> float:
    """Share of the matches to registered photos that lie near their epipolar lines, in [0, 1].

    True poses keep nearly all of them, whatever the depth; a pose found by chance or from a look-alike only
    those that it was fitted to.
    """
    registered = session.registered
    errors = [np.zeros(0)]
    views = _Views(session.scene, session.reconstruction)
    for other in session.scene.view_graph.neighbours(name):
        if other in registered:
            errors.append(views.epipolar_errors_px(session.scene.id_of[other], session.scene.id_of[name]))
    found = np.concatenate(errors)
    return float(np.mean(found <= CONTRADICTED_PX)) if len(found) else 0.0


def contradicted_share(scene: Scene, model: pycolmap.Reconstruction) -> float:
    """Share of the verified pairs within a model that most of their own matches contradict, in [0, 1].

    Pairs count by their inliers. A model that is right keeps nearly all of them, those of other places that
    look alike excepted. One that took a wrong turn contradicts the pairs across it, however many points it
    has and however small their errors.
    """
    edges = scene.view_graph.edges
    errors = median_errors_px(scene, model, edges)
    return contradicted_matches(errors, errors, {pair: edges[pair].num_inliers for pair in errors})


def contradicted_matches(
    pairs: Collection[Pair], errors_px: Mapping[Pair, float], inliers: Mapping[Pair, int]
) -> float:
    """Share of the matches of `pairs` that belong to those which the poses contradict, in [0, 1]."""
    against = sum(inliers[pair] for pair in pairs if errors_px[pair] > CONTRADICTED_PX)
    return against / max(sum(inliers[pair] for pair in pairs), 1)


def median_errors_px(
    scene: Scene, model: pycolmap.Reconstruction, pairs: Iterable[Pair]
) -> Mapping[Pair, float]:
    """Median Sampson distance, px, of the matches of each of `pairs` whose photos are both in the model."""
    ids = {model.image(image_id).name: image_id for image_id in model.reg_image_ids()}
    views = _Views(scene, model)
    return {
        pair: float(np.median(views.epipolar_errors_px(ids[pair.a], ids[pair.b])))
        for pair in pairs
        if pair.a in ids and pair.b in ids
    }


def bearing_vectors(xy: npt.NDArray[np.floating], camera: pycolmap.Camera) -> npt.NDArray[np.float64]:
    """Points (x, y, 1) on the image plane at unit distance, camera frame, of positions (N, 2), px; (N, 3)."""
    flat = np.asarray(camera.cam_from_img(np.asarray(xy, dtype=np.float64)))
    return np.column_stack((flat, np.ones(len(xy))))


class _Views:
    """The registered photos of a model that stands still, each unprojected once."""

    def __init__(self, scene: Scene, model: pycolmap.Reconstruction) -> None:
        self._scene, self._model = scene, model
        self._rays: dict[int, npt.NDArray[np.float64]] = {}

    def epipolar_errors_px(self, id_1: int, id_2: int) -> npt.NDArray[np.float64]:
        """Sampson distance of the matches of two registered photos, px; (N,)."""
        matches = self._scene.cache.correspondence_graph.extract_matches_between_images(id_1, id_2)
        images = self._model.image(id_1), self._model.image(id_2)
        x_1, x_2 = self._of(id_1)[matches[:, 0]], self._of(id_2)[matches[:, 1]]
        cam2_from_cam1 = images[1].cam_from_world() * images[0].cam_from_world().inverse()
        t_x, t_y, t_z = cam2_from_cam1.translation
        cross = np.array([[0, -t_z, t_y], [t_z, 0, -t_x], [-t_y, t_x, 0]])
        essential = cross @ cam2_from_cam1.rotation.matrix()
        line_2, line_1 = x_1 @ essential.T, x_2 @ essential
        algebraic = np.sum(x_2 * line_2, axis=1)
        gradient = np.sqrt(np.sum(line_1[:, :2] ** 2, axis=1) + np.sum(line_2[:, :2] ** 2, axis=1))
        focal = np.mean([self._model.camera(image.camera_id).mean_focal_length() for image in images])
        return np.asarray(np.abs(algebraic) / np.maximum(gradient, 1e-12) * focal)

    def _of(self, image_id: int) -> npt.NDArray[np.float64]:
        """Points (x, y, 1) of all keypoints of a photo on the image plane at unit distance, (N, 3)."""
        if image_id not in self._rays:
            camera = self._model.camera(self._model.image(image_id).camera_id)
            self._rays[image_id] = bearing_vectors(self._scene.keypoints(image_id), camera)
        return self._rays[image_id]
