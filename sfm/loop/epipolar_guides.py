"""Epipolar guides for pairs to be matched, from the models of a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pycolmap

from retrieval import Edge, Pair, Reason
from sfm.matching.guide import Guide, GuideView

_GUIDED = frozenset({Reason.LOOP, Reason.LOW_OVERLAP})
"""Reasons of requests that trust the model; inconsistent pairs are matched without guides."""


def guides_of(models: Sequence[pycolmap.Reconstruction], edges: Mapping[Pair, Edge]) -> dict[Pair, Guide]:
    """A guide for each requested pair whose reason trusts the model.

    Both images must be registered in one model and observe points of it; spherical cameras have no lines.

    Args:
        models: the first that contains both images counts.
        edges: any pairs.
    """
    wanted = sorted(pair for pair, edge in edges.items() if edge.reason in _GUIDED)
    places = [{model.image(i).name: model.image(i) for i in model.reg_image_ids()} for model in models]
    views: dict[tuple[int, str], GuideView] = {}
    found: dict[Pair, Guide] = {}
    for pair in wanted:
        at = next((i for i, names in enumerate(places) if pair.a in names and pair.b in names), None)
        if at is None:
            continue
        a, b = places[at][pair.a], places[at][pair.b]
        for image in (a, b):
            if (at, image.name) not in views:
                views[at, image.name] = _view(models[at], image)
        seen = views[at, a.name], views[at, b.name]
        if all(len(view.observed) for view in seen):
            b_from_a = b.cam_from_world() * a.cam_from_world().inverse()
            found[pair] = Guide(b_from_a, *seen)
    return found


def _view(model: pycolmap.Reconstruction, image: pycolmap.Image) -> GuideView:
    camera = model.camera(image.camera_id)
    points = [(point.xy, model.point3D(point.point3D_id).xyz) for point in image.get_observation_points2D()]
    if not points or camera.is_spherical():
        return GuideView(camera, np.empty((0, 3)), 0.0)
    xy, xyz = (np.array(column) for column in zip(*points, strict=True))
    in_cam = np.asarray(image.cam_from_world() * xyz)
    errors = np.linalg.norm(np.asarray(camera.img_from_cam(in_cam)) - xy, axis=1)
    sound = (in_cam[:, 2] > 0) & np.isfinite(errors)
    observed = np.column_stack((xy, in_cam[:, 2]))[sound]
    return GuideView(camera, observed, float(np.sqrt(np.mean(errors[sound] ** 2))) if len(observed) else 0.0)
