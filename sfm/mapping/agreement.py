"""Whether poses agree with the verified matches between registered photos."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pycolmap

from .session import MapperSession, Scene

_MAX_ERROR_PX = 8.0  # a fresh pose is rough


def agreement(session: MapperSession, name: str) -> float:
    """Share of the matches to registered photos that lie near their epipolar lines, in [0, 1].

    True poses keep nearly all of them, whatever the depth; a pose found by chance or from a look-alike only
    those that it was fitted to.
    """
    registered = session.registered
    errors = [np.zeros(0)]
    for other in session.scene.view_graph.neighbours(name):
        if other in registered:
            ids = session.scene.id_of[other], session.scene.id_of[name]
            errors.append(_epipolar_errors_px(session.scene, session.reconstruction, *ids))
    found = np.concatenate(errors)
    return float(np.mean(found <= _MAX_ERROR_PX)) if len(found) else 0.0


def contradicted_share(scene: Scene, model: pycolmap.Reconstruction) -> float:
    """Share of the verified pairs within a model that most of their own matches contradict, in [0, 1].

    A model that is right keeps nearly all pairs, those of other places that look alike excepted. One that
    took a wrong turn contradicts the pairs across it, however many points it has and however small their
    errors.
    """
    ids = {model.image(image_id).name: image_id for image_id in model.reg_image_ids()}
    pairs = [pair for pair in scene.view_graph.edges if pair.a in ids and pair.b in ids]
    contradicted = [
        np.median(_epipolar_errors_px(scene, model, ids[pair.a], ids[pair.b])) > _MAX_ERROR_PX
        for pair in pairs
    ]
    return float(np.mean(contradicted)) if pairs else 0.0


def bearing_vectors(
    image: pycolmap.Image, camera: pycolmap.Camera, indices: npt.NDArray[np.uint32]
) -> npt.NDArray[np.float64]:
    """Points (x, y, 1) on the image plane at unit distance, camera frame, of some keypoints; (N, 3)."""
    points2D = image.points2D
    xy = np.array([points2D[i].xy for i in indices.tolist()]).reshape(-1, 2)
    return np.column_stack((camera.cam_from_img(xy), np.ones(len(xy))))


def _epipolar_errors_px(
    scene: Scene, rec: pycolmap.Reconstruction, id_1: int, id_2: int
) -> npt.NDArray[np.float64]:
    """Sampson distance of the matches of two registered photos, px; (N,)."""
    matches = scene.cache.correspondence_graph.extract_matches_between_images(id_1, id_2)
    images = rec.image(id_1), rec.image(id_2)
    cameras = [rec.camera(image.camera_id) for image in images]
    x_1, x_2 = (bearing_vectors(images[k], cameras[k], matches[:, k]) for k in (0, 1))
    cam2_from_cam1 = images[1].cam_from_world() * images[0].cam_from_world().inverse()
    t_x, t_y, t_z = cam2_from_cam1.translation
    cross = np.array([[0, -t_z, t_y], [t_z, 0, -t_x], [-t_y, t_x, 0]])
    essential = cross @ cam2_from_cam1.rotation.matrix()
    line_2, line_1 = x_1 @ essential.T, x_2 @ essential
    algebraic = np.sum(x_2 * line_2, axis=1)
    gradient = np.sqrt(np.sum(line_1[:, :2] ** 2, axis=1) + np.sum(line_2[:, :2] ** 2, axis=1))
    focal = np.mean([camera.mean_focal_length() for camera in cameras])
    return np.asarray(np.abs(algebraic) / np.maximum(gradient, 1e-12) * focal)
