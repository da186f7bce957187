"""Sparse global alignment as a source of poses for registration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pycolmap

from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from sfm.global_alignment.sparse.canonical import CanonicalView
from sfm.global_alignment.sparse.dense import DenseView, aligned_depth
from sfm.global_alignment.sparse.optimise import Aligned, align
from sfm.global_alignment.sparse.problem import AlignmentProblem
from sfm.mapping.scene.pose_source import PosedGroup, PosedImage
from sfm.mast3r.values import ViewDepth
from sfm.types import Collection

from ..depth.aligned_depth import AlignedDepthFiles, DepthOrigin
from ..depth.depth_maps import DepthMaps
from ..inference.decoded_direction import DEPTH_STRIDE
from ..inference.photo_map import PhotoMap
from .correspondences import KeptDirections
from .pointmaps import Pointmaps
from .posed_photos import posed_image, upright_pose
from .torch_threads import threads_for


@dataclass(frozen=True, slots=True)
class AlignedPoses:
    """See `sfm.mapping.scene.pose_source.PoseSource`."""

    pointmaps: Pointmaps
    collection: Collection
    database: FeatureDatabase
    origin: DepthOrigin
    kept: AlignedDepthFiles | None = None
    """Where depth of every pixel is kept for exports; None keeps none."""

    def groups(
        self, pairs: Iterable[Pair] | None = None, known: Mapping[str, pycolmap.Rigid3d] | None = None
    ) -> Sequence[PosedGroup]:
        """Aligned groups of photos; what is missing of their pairs is computed."""
        chosen = sorted(self.database.matched_pairs() if pairs is None else pairs)
        lost = self.pointmaps.complete(chosen)
        cameras = self.collection.cameras
        camera_of = {photo.name: cameras[photo.camera_id] for photo in self.collection.photos}
        fixed = {name: camera for name, camera in camera_of.items() if camera.fixed}
        kept = self.pointmaps.kept()
        groups = [self._group(kept, *found, known or {}) for found in kept.problems(chosen, fixed)]
        return PosedGroup.all_of(groups, lost)

    def _group(
        self,
        kept: KeptDirections,
        names: Sequence[str],
        problem: AlignmentProblem,
        known: Mapping[str, pycolmap.Rigid3d],
    ) -> PosedGroup:
        context, predictor = self.pointmaps.context, self.pointmaps.predictor
        options = context.config.alignment
        steps = options.niter1 + (0 if options.level == "coarse" else options.niter2)
        num_points = sum(len(pair.confidence) for pair in problem.pairs)
        with context.progress.task("align", steps, unit="steps") as task, threads_for(num_points):
            aligned = align(
                _with_known_poses(problem, names, known, kept.maps),
                options,
                shared_intrinsics=context.config.images.camera_sharing == "single",
                device=predictor.device,
                on_step=lambda: task.advance(1),
            )
        images, depths, views = {}, {}, {}
        for number, name in enumerate(names):
            image = _posed(aligned, number, kept.maps[name])
            if image is not None:
                canonical = kept.view(name)
                # the way by the network's image rounds
                images[name] = replace(image, cam_from_world=known[name]) if name in known else image
                depths[name] = _depth(aligned, number, canonical)
                if self.kept is not None:
                    views[kept.photos[name].sha256] = DenseView.of(aligned, number, canonical)
        maps = {name: kept.maps[name] for name in images}
        depth = DepthMaps(depths, maps, predictor.is_metric)
        key = self.kept.put(views, self.origin) if self.kept is not None and views else ""
        return PosedGroup(images, aligned.losses, depth, aligned.stopped, kept=key)


def _with_known_poses(
    problem: AlignmentProblem,
    names: Sequence[str],
    known: Mapping[str, pycolmap.Rigid3d],
    maps: Mapping[str, PhotoMap],
) -> AlignmentProblem:
    views = list(problem.views)
    for number, name in enumerate(names):
        pose = upright_pose(known[name], maps[name]) if name in known else None
        if pose is not None:
            views[number] = replace(views[number], world_from_view=pose.inverse())
    return replace(problem, views=tuple(views))


def _posed(aligned: Aligned, number: int, photo: PhotoMap) -> PosedImage | None:
    cameras = aligned.cameras
    rotation = cameras.rotation[number].double().cpu().numpy()
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), cameras.centre[number].double().cpu().numpy())
    x, y = cameras.principal_point[number].tolist()
    return posed_image(pose.inverse(), float(cameras.focal[number]), (x, y), photo)


def _depth(aligned: Aligned, number: int, canonical: CanonicalView) -> ViewDepth:
    depth = aligned_depth(aligned, number, canonical, stride=DEPTH_STRIDE)
    step = slice(None, None, DEPTH_STRIDE)
    return ViewDepth(
        np.asarray(np.where(depth > 0, depth, np.nan), np.float32),
        np.asarray(canonical.confidence[step, step], np.float32),
        DEPTH_STRIDE,
        float(aligned.cameras.focal[number]),
    )
