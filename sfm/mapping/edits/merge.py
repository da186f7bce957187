"""Joining models that share points: robust similarity, transfer of poses, check after adjustment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from ..growing.bundle_adjustment import drop_unobserved, refine_growing
from ..growing.growth import grow
from ..growing.steps import Method
from ..growing.submodels import MAX_CONTRADICTED, MappingContext, Submodel, copied
from ..measures.agreement import contradicted_share
from ..measures.observations import PointTable
from ..measures.soundness import MIN_COMMON_POINTS
from ..scene.bearings import depths
from ..scene.journal import Journal
from ..scene.session import open_session
from .admit_pairs import supported_pairs
from .split import is_pendant

_MIN_INLIER_RATIO = 0.3
_MAX_ERROR = 0.03  # of the median distance from camera to point
_MIN_COMMON_TRACKS = 30  # points seen from both sides after adjustment
MIN_KEPT = 0.9  # share of both models' observations that must survive
MAX_CONTRADICTED_GROWTH = 0.01
_MAX_ERROR_GROWTH = 1.3  # of the mean reprojection error
_MAX_DEPTHS = 5_000

Points = npt.NDArray[np.float64]


def merge_models(context: MappingContext, submodels: Sequence[Submodel], journal: Journal) -> list[Submodel]:
    """The models, with those joined that fit together; largest first, ties by their first image."""
    models = sorted(submodels, key=lambda submodel: (-len(submodel.names), min(submodel.names)))
    index = 0
    while index < len(models):
        for other in models[index + 1 :]:
            if merged := _merged(context, models[index], other, journal):
                models = [m for m in models if m not in (models[index], other)]
                models.insert(index, merged)
                break
        else:
            index += 1
    return models


def _merged(context: MappingContext, large: Submodel, small: Submodel, journal: Journal) -> Submodel | None:
    """One model of both, or None when they share too little or contradict each other."""
    neighbours = context.scene.view_graph.neighbours
    if not any(other in large.names for name in small.names for other in neighbours(name)):
        return None
    return joined(context, large, small, journal) or _absorbed(context, large, small, journal)


def joined(
    context: MappingContext,
    large: Submodel,
    small: Submodel,
    journal: Journal,
    *,
    large_from_small: pycolmap.Sim3d | None = None,
    accept: Callable[[Submodel], bool] | None = None,
) -> Submodel | None:
    """Both models in the frame of the large one, if a similarity takes the points of one to the other's.

    It is found by these points where it is not given. `accept` judges the result; by default it has to be as
    good as both models were apart.
    """
    points_large, points_small = common_points(context, large, small)
    if len(points_large) < MIN_COMMON_POINTS:
        return None
    if large_from_small is None:
        large_from_small = similarity(context, points_small, points_large, tolerance(large.reconstruction))
    if large_from_small is None:
        return None
    merged = copied(large)
    transfer_poses(context, merged.reconstruction, small, large_from_small)
    with open_session(context.scene, context.options, merged.reconstruction) as session:
        for name in sorted(small.names):
            session.mapper.triangulate_image(context.options.triangulation, context.scene.id_of[name])
            merged.journal.note("registered", name=name, how="merge", num_visible=0, num_inliers=None)
        refine_growing(session, "merged", merged.journal)
        drop_unobserved(session, merged.journal)  # where both sides contradict each other
        merged.names = session.registered
    accepted = accept(merged) if accept else _fits(context, merged, large, small)
    journal.note(
        "merge",
        num_images=[len(large.names), len(small.names)],
        num_common=len(points_large),
        accepted=accepted,
    )
    return merged if accepted else None


def attach_part(
    context: MappingContext,
    base: Submodel,
    part: Submodel,
    across: Set[Pair],
    trusted: Set[Pair],
    deferred: Set[Pair],
    journal: Journal,
    *,
    base_from_part: pycolmap.Sim3d,
    accept: Callable[[Submodel], bool],
) -> Submodel | None:
    """One model of both as by `joined`, of the pairs `across` only from those that are `trusted`.

    Deferred pairs within the base and within the part are used if the base or the part agrees with them.
    """
    within = deferred - across
    for one in (base, part):
        trusted = trusted | supported_pairs(context.scene, (one.reconstruction,), within)[0]
    rest = replace(context, scene=context.scene.without((across | deferred) - trusted))
    return joined(rest, base, part, journal, large_from_small=base_from_part, accept=accept)


def _absorbed(context: MappingContext, large: Submodel, small: Submodel, journal: Journal) -> Submodel | None:
    """The large model grown by all images of the small one, whose own poses are forgotten."""
    merged = copied(large)
    with open_session(context.scene, context.options, merged.reconstruction) as session:
        # Never from 2D-2D matches: where those are wrong, nothing of the small model would contradict them.
        grow(session, small.names, merged.journal, methods=(Method.PNP,), on_registered=context.on_registered)
        merged.names = session.registered
    if not _fits(context, merged, large, small):
        return None
    journal.note("merge", num_images=[len(large.names), len(small.names)], num_common=0, accepted=True)
    return merged


def common_points(context: MappingContext, large: Submodel, small: Submodel) -> tuple[Points, Points]:
    """Points of both models that verified matches between their images identify, each pair once."""
    ids = sorted(set(_matched_points(context, large, small)))
    points_large = [large.reconstruction.point3D(a).xyz for a, _ in ids]
    points_small = [small.reconstruction.point3D(b).xyz for _, b in ids]
    return np.array(points_large).reshape(-1, 3), np.array(points_small).reshape(-1, 3)


def _matched_points(context: MappingContext, large: Submodel, small: Submodel) -> Iterator[tuple[int, int]]:
    graph = context.scene.cache.correspondence_graph
    for name in sorted(small.names):
        points_small = small.reconstruction.image(context.scene.id_of[name]).points2D
        for other in context.scene.view_graph.neighbours(name):
            if other in large.names:
                ids = context.scene.id_of[other], context.scene.id_of[name]
                points_large = large.reconstruction.image(ids[0]).points2D
                for i, j in graph.extract_matches_between_images(*ids).tolist():
                    if points_large[i].has_point3D() and points_small[j].has_point3D():
                        yield points_large[i].point3D_id, points_small[j].point3D_id


def similarity(
    context: MappingContext,
    source: Points,
    target: Points,
    max_error: float,
    *,
    min_inlier_ratio: float = _MIN_INLIER_RATIO,
) -> pycolmap.Sim3d | None:
    """Robust similarity that takes `source` to `target`, or None when too few agree.

    `max_error` is that of an inlier, in the frame of `target`: the `tolerance` of a model there.
    """
    options = pycolmap.RANSACOptions()
    options.max_error = max_error
    options.random_seed = context.options.mapper.random_seed
    # A mapping, whatever the type stubs of pycolmap 4.2 say.
    found = cast("dict[str, Any] | None", pycolmap.estimate_sim3d_robust(source, target, options))
    if found is None or found["num_inliers"] < max(MIN_COMMON_POINTS, min_inlier_ratio * len(source)):
        return None
    return cast(pycolmap.Sim3d, found["tgt_from_src"])


def tolerance(model: pycolmap.Reconstruction) -> float:
    """Largest distance at which points of two models are the same, in the frame of this one."""
    return _MAX_ERROR * _median_depth(model)


def _median_depth(model: pycolmap.Reconstruction) -> float:
    """Of its points (some, where there are many), the median of the images' median depths."""
    every = PointTable.of(model).xyz
    xyz = every[:: 1 + len(every) // _MAX_DEPTHS]
    images = (model.image(i) for i in model.reg_image_ids())
    found = (depths(image.cam_from_world() * xyz, model.camera(image.camera_id)) for image in images)
    return float(np.median(np.abs([np.median(one) for one in found])))


def transfer_poses(
    context: MappingContext, model: pycolmap.Reconstruction, other: Submodel, model_from_other: pycolmap.Sim3d
) -> None:
    """Give `model` the poses of `other`, and the intrinsics of cameras that only `other` has."""
    known = set(model.cameras)
    with open_session(context.scene, context.options, model):  # loads the images that the model lacks
        for name in sorted(other.names):
            image = other.reconstruction.image(context.scene.id_of[name])
            if image.camera_id not in known:
                found, camera = other.reconstruction.camera(image.camera_id), model.camera(image.camera_id)
                camera.model, camera.params = found.model, list(found.params)
            frame = model.frame(image.frame_id)
            if frame.has_pose():  # another image of the same rig has brought it along
                continue
            rig_from_other = other.reconstruction.frame(image.frame_id).rig_from_world
            if rig_from_other is not None:
                frame.rig_from_world = model_from_other.transform_camera_world(rig_from_other)
            model.register_frame(image.frame_id)


def _fits(context: MappingContext, merged: Submodel, large: Submodel, small: Submodel) -> bool:
    """Whether both sides hold together after adjustment as well as they did apart."""
    if not merged.names >= large.names | small.names:
        return False
    parts = large.reconstruction, small.reconstruction
    before = sum(part.compute_num_observations() for part in parts)
    error = max(part.compute_mean_reprojection_error() for part in parts)
    holds = (
        merged.reconstruction.compute_num_observations() >= MIN_KEPT * before
        and merged.reconstruction.compute_mean_reprojection_error() <= _MAX_ERROR_GROWTH * error
        and _num_common_tracks(merged.reconstruction, large.names) >= _MIN_COMMON_TRACKS
        and not is_pendant(context, merged.reconstruction, small.names)
    )
    if not holds:
        return False
    # A false join by visual aliasing contradicts the pairs of the true placement.
    merged.contradicted = contradicted_share(context.scene, merged.reconstruction)
    apart = max(large.contradicted, small.contradicted)
    return merged.contradicted <= max(MAX_CONTRADICTED, apart + MAX_CONTRADICTED_GROWTH)


def _num_common_tracks(model: pycolmap.Reconstruction, side: frozenset[str]) -> int:
    """Points that are seen by images of `side` and by others, three at least."""
    inside = {image_id for image_id in model.reg_image_ids() if model.image(image_id).name in side}
    tracks = (point.track.elements for point in model.points3D.values() if point.track.length() > 2)
    sides = ({e.image_id in inside for e in track} for track in tracks)
    return sum(len(seen) == 2 for seen in sides)
