"""Sparse global alignment as a source of poses for registration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch

from retrieval import Pair
from sfm.global_alignment.sparse.canonical import CanonicalView
from sfm.global_alignment.sparse.dense import aligned_depth
from sfm.global_alignment.sparse.optimise import Aligned, AlignmentOptions, align
from sfm.global_alignment.sparse.problem import AlignmentProblem
from sfm.mapping.scene.pose_source import PosedGroup, PosedImage
from sfm.mast3r.values import ViewDepth
from sfm.types import CameraSpec
from sfm.workspace.progress import Progress

from ..depth.depth_maps import DepthMaps
from ..inference.photo_map import PhotoMap
from .correspondences import KeptDirections
from .posed_photos import posed_image

_DEPTH_STRIDE = 4


@dataclass(frozen=True, slots=True)
class AlignedPoses:
    """See `sfm.mapping.scene.pose_source.PoseSource`."""

    kept: KeptDirections
    pairs: Sequence[Pair]
    """All pairs with directions."""
    cameras: Mapping[str, CameraSpec]
    """Intrinsics of photos that are known."""
    options: AlignmentOptions
    device: torch.device
    progress: Progress
    metric: bool

    def groups(self, pairs: Iterable[Pair] | None = None) -> Sequence[PosedGroup]:
        """Aligned groups of photos."""
        chosen = list(self.pairs if pairs is None else pairs)
        found = []
        for names, problem in self.kept.problems(chosen, self.cameras):
            found.append(self._group(names, problem))
        return found

    def _group(self, names: Sequence[str], problem: AlignmentProblem) -> PosedGroup:
        steps = self.options.niter1 + (0 if self.options.level == "coarse" else self.options.niter2)
        with self.progress.task("align", steps, unit="steps") as task:
            aligned = align(problem, self.options, device=self.device, on_step=lambda: task.advance(1))
        images, depths = {}, {}
        for number, name in enumerate(names):
            image = _posed(aligned, number, self.kept.maps[name])
            if image is not None:
                images[name] = image
                depths[name] = _depth(aligned, number, self.kept.view(name))
        maps = {name: self.kept.maps[name] for name in images}
        return PosedGroup(images, aligned.losses, DepthMaps(depths, maps, self.metric), aligned.stopped)


def _posed(aligned: Aligned, number: int, photo: PhotoMap) -> PosedImage | None:
    cameras = aligned.cameras
    rotation = cameras.rotation[number].double().cpu().numpy()
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), cameras.centre[number].double().cpu().numpy())
    x, y = cameras.principal_point[number].tolist()
    return posed_image(pose.inverse(), float(cameras.focal[number]), (x, y), photo)


def _depth(aligned: Aligned, number: int, canonical: CanonicalView) -> ViewDepth:
    depth = aligned_depth(aligned, number, canonical, stride=_DEPTH_STRIDE)
    step = slice(None, None, _DEPTH_STRIDE)
    return ViewDepth(
        np.asarray(np.where(depth > 0, depth, np.nan), np.float32),
        np.asarray(canonical.confidence[step, step], np.float32),
        _DEPTH_STRIDE,
        float(aligned.cameras.focal[number]),
    )
