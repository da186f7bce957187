"""A model of which only the tracks matter: which photos see each point."""

from collections.abc import Iterable, Set

import numpy as np
import pycolmap


def tracked_model(num_photos: int, tracks: Iterable[Set[int]]) -> pycolmap.Reconstruction:
    """Photos `0`, `1`, … whose points are seen by the photos of these numbers; all points at the origin."""
    tracks = list(tracks)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig = 1, num_photos
    options.num_points3D = max(400, 2 * len(tracks))
    model = pycolmap.synthesize_dataset(options)
    for point_id in list(model.points3D):
        model.delete_point3D(point_id)
    images = sorted(model.reg_image_ids())
    for row, track in enumerate(tracks):
        elements = [pycolmap.TrackElement(images[number], row) for number in sorted(track)]
        model.add_point3D(np.zeros(3), pycolmap.Track(elements))
    for number, image_id in enumerate(images):
        model.image(image_id).name = str(number)
    return model
