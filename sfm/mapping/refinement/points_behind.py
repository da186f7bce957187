"""Observations of points that an adjustment moved behind a camera."""

from __future__ import annotations

import numpy as np
import pycolmap

from ..measures.observations import PointTable, seen_by


def drop_observations_behind(model: pycolmap.Reconstruction) -> int:
    """Delete observations whose points the camera cannot see, and return their number.

    A robust loss lets points far behind a camera be, and their reprojection error has no bound. Cameras that
    see all around keep theirs. Points with fewer than two observations left are deleted.

    Args:
        model: changed.
    """
    points, behind = PointTable.of(model), set[tuple[int, int]]()
    for image_id in sorted(model.reg_image_ids()):
        image = model.image(image_id)
        ids, _ = seen_by(image)
        in_camera = image.cam_from_world() * points.xyz_of(ids)
        projected = np.asarray(model.camera(image.camera_id).img_from_cam(in_camera.reshape(-1, 3)))
        for point_id in ids[~np.isfinite(projected).all(axis=1)].tolist():
            elements = model.point3D(point_id).track.elements
            behind |= {(image_id, one.point2D_idx) for one in elements if one.image_id == image_id}
    for image_id, index in sorted(behind):
        if model.image(image_id).points2D[index].has_point3D():  # False: its point went with another one
            model.delete_observation(image_id, index)
    if behind:
        model.update_point_3d_errors()
    return len(behind)
