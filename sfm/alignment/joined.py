"""One model made of two that stand in one frame."""

import copy
from collections import Counter
from collections.abc import Mapping, Set

import numpy as np
import pycolmap

from .joint_points import same_keypoints, shared_photos


def joined_model(
    a: pycolmap.Reconstruction,
    b: pycolmap.Reconstruction,
    same_points: Set[tuple[int, int]],
    *,
    share_cameras: bool,
) -> pycolmap.Reconstruction:
    """All images and points of both, as `a` has them where both do.

    Args:
        a: left unchanged; its ids stay.
        b: in the frame of `a`. Its ids stay where `a` has not taken them.
        same_points: points of `a` and of `b` that are one.
        share_cameras: whether images of `b` take the cameras that `a` gives to the images of both.
    """
    shared = shared_photos(a, b)
    result = copy.deepcopy(a)
    cameras = _cameras(result, b, shared if share_cameras else [])
    keypoint_of = {}  # by image of b: its id in the result, and the index of each keypoint there
    for image_a, image_b in shared:
        rows_a, rows_b = same_keypoints(image_a, image_b)
        indices = dict(zip(rows_b.tolist(), rows_a.tolist(), strict=True))
        keypoint_of[image_b.image_id] = image_a.image_id, indices
    for image_id in sorted(set(b.reg_image_ids()) - keypoint_of.keys()):
        new_id = _add_image(result, b.image(image_id), cameras)
        keypoint_of[image_id] = new_id, {i: i for i in range(b.image(image_id).num_points2D())}
    _add_points(result, b, keypoint_of, same_points)
    result.update_point_3d_errors()
    return result


def _cameras(
    result: pycolmap.Reconstruction,
    b: pycolmap.Reconstruction,
    shared: list[tuple[pycolmap.Image, pycolmap.Image]],
) -> dict[int, int]:
    """Camera of the result for each of `b`, added where there is none."""
    votes: dict[int, Counter[int]] = {}
    for image_a, image_b in shared:
        votes.setdefault(image_b.camera_id, Counter())[image_a.camera_id] += 1
    found = {camera: counts.most_common(1)[0][0] for camera, counts in votes.items()}
    for camera_id in sorted({b.image(i).camera_id for i in b.reg_image_ids()} - found.keys()):
        camera = pycolmap.Camera(b.camera(camera_id).todict())
        if result.exists_camera(camera_id):
            camera.camera_id = 1 + max(*result.cameras, *b.cameras)
        result.add_camera_with_trivial_rig(camera)
        found[camera_id] = camera.camera_id
    return found


def _add_image(result: pycolmap.Reconstruction, image: pycolmap.Image, cameras: Mapping[int, int]) -> int:
    taken = result.exists_image(image.image_id) or result.exists_frame(image.image_id)
    new_id = 1 + max(*result.images, *result.frames) if taken else image.image_id
    xy = np.array([point.xy for point in image.points2D]).reshape(-1, 2)
    copied = pycolmap.Image(image.name, xy, cameras[image.camera_id], new_id)
    result.add_image_with_trivial_frame(copied, image.cam_from_world())
    return int(new_id)


def _add_points(
    result: pycolmap.Reconstruction,
    b: pycolmap.Reconstruction,
    keypoint_of: Mapping[int, tuple[int, Mapping[int, int]]],
    same_points: Set[tuple[int, int]],
) -> None:
    owner = {point_b: point_a for point_a, point_b in sorted(same_points, reverse=True)}
    for point_id in sorted(b.point3D_ids()):
        point = b.point3D(point_id)
        free = []
        for element in point.track.elements:
            image_id, indices = keypoint_of.get(element.image_id, (0, {}))
            index = indices.get(element.point2D_idx)
            if index is not None and not result.image(image_id).points2D[index].has_point3D():
                free.append((image_id, index))
        if point_id in owner:
            for image_id, index in free:
                result.add_observation(owner[point_id], pycolmap.TrackElement(image_id, index))
        elif len({image_id for image_id, _ in free}) >= 2:
            track = pycolmap.Track([pycolmap.TrackElement(*element) for element in free])
            result.add_point3D(point.xyz, track, point.color)
