"""Dense global alignment as a source of poses for registration, of a handful of photos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pycolmap
import torch
from numpy.typing import NDArray

from retrieval import Pair
from sfm.errors import ConfigError, InputError
from sfm.global_alignment.dense.optimise import DenseAlignment, Direction
from sfm.global_alignment.dense.start import UnconnectedError, placed_images, start_variables
from sfm.global_alignment.sparse.dense import DenseView
from sfm.mapping.scene.pose_source import PosedGroup, PosedImage
from sfm.mast3r.network.predictor import PairPredictor
from sfm.mast3r.values import ViewDepth
from sfm.workspace.progress import Progress

from ..depth.aligned_depth import AlignedDepthFiles, DepthOrigin
from ..depth.depth_maps import DepthMaps
from ..inference.inference import NOT_FINITE
from ..inference.memory import in_batches
from ..inference.photos import EncodedPhotos
from .groups import connected_photos
from .posed_photos import posed_image
from .torch_threads import threads_for

MAX_PHOTOS = 20
"""Each direction of a pair takes 6 MB of memory, and there are twice as many as pairs."""
_STEPS = 300


@dataclass(frozen=True, slots=True)
class DensePoses:
    """See `sfm.mapping.scene.pose_source.PoseSource`."""

    predictor: PairPredictor
    photos: EncodedPhotos
    pairs: Sequence[Pair]
    """All pairs that were matched."""
    progress: Progress
    seed: int
    kept: AlignedDepthFiles
    """Where depth of every pixel is kept for exports."""
    origin: DepthOrigin

    def groups(
        self, pairs: Iterable[Pair] | None = None, known: Mapping[str, pycolmap.Rigid3d] | None = None
    ) -> Sequence[PosedGroup]:
        """Aligned groups of photos.

        Raises:
            ConfigError: there are known poses, which this alignment cannot hold.
            InputError: a group is too large.
        """
        if known:
            raise ConfigError(
                "register.mapper=dense-alignment cannot hold known poses",
                hint="use register.mapper=alignment",
            )
        chosen = sorted(self.pairs if pairs is None else pairs)
        found = []
        for members in connected_photos(chosen):
            if len(members) > MAX_PHOTOS:
                raise InputError(
                    f"register.mapper=dense-alignment: {len(members)} photos, at most {MAX_PHOTOS} fit",
                    hint="register.mapper=alignment has no such limit",
                )
            found += self._groups([pair for pair in chosen if pair.a in set(members)])
        return found

    def _groups(self, pairs: Sequence[Pair]) -> list[PosedGroup]:
        """Aligned groups of connected photos; they fall apart where pairs are lost."""
        lost: dict[Pair, str] = {}
        pointmaps = self._pointmaps([both for a, b in pairs for both in ((a, b), (b, a))], lost)
        left = [pair for pair in pairs if pair not in lost]
        groups = []
        for names in connected_photos(left):
            index = {name: number for number, name in enumerate(names)}
            directions = [
                Direction(index[first], index[second], *values)
                for (first, second), values in pointmaps.items()
                if first in index and Pair.of(first, second) not in lost
            ]
            groups.append(self._group(names, directions))
        return PosedGroup.all_of(groups, lost)

    def _group(self, names: Sequence[str], directions: Sequence[Direction]) -> PosedGroup:
        maps = {name: self.photos.maps[name] for name in names}
        sizes = [(maps[name].size[1], maps[name].size[0]) for name in names]
        confidence = _confidences(directions)
        stopped = ""
        try:
            if len(names) == 2:
                placed = placed_images(directions, sizes, seed=self.seed)
                cameras = [(image.focal, image.world_from_camera) for image in placed]
                depths: list[NDArray[np.floating]] = [image.depth for image in placed]
                losses: tuple[float, ...] = ()
            else:
                cameras, depths, losses = self._aligned(directions, sizes)
                if not all(map(math.isfinite, losses)):
                    stopped = "the dense alignment met numbers that are not finite"
        except UnconnectedError as error:
            return PosedGroup({}, stopped=f"the dense alignment could not start: {error}")
        images: dict[str, PosedImage] = {}
        views: dict[str, ViewDepth] = {}
        dense: dict[str, DenseView] = {}
        for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
            focal, world_from_camera = cameras[number]
            middle = (size[0] / 2, size[1] / 2)
            image = posed_image(world_from_camera.inverse(), focal, middle, maps[name])
            if image is not None:
                images[name] = image
                depth = np.asarray(depths[number], np.float32).reshape(size[::-1])
                views[name] = ViewDepth(depth, confidence[number], 1, focal)
                dense[self.photos.photos[name].sha256] = DenseView(
                    depth.astype(np.float64),
                    confidence[number].astype(np.float64),
                    focal,
                    middle,
                    world_from_camera.rotation.matrix(),
                    world_from_camera.translation,
                )
        key = self.kept.put(dense, self.origin) if dense else ""
        depth_maps = DepthMaps(views, maps, metric=False)
        return PosedGroup(images, tuple(losses), depth_maps, stopped, kept=key)

    def _aligned(
        self, directions: Sequence[Direction], sizes: Sequence[tuple[int, int]]
    ) -> tuple[list[tuple[float, pycolmap.Rigid3d]], list[NDArray[np.floating]], tuple[float, ...]]:
        start = start_variables(directions, sizes, device=self.predictor.device, seed=self.seed)
        alignment = DenseAlignment(directions, sizes, start)
        num_points = sum(one.first_confidence.size + one.second_confidence.size for one in directions)
        with self.progress.task("align", _STEPS, unit="steps") as task, threads_for(num_points):
            loss = alignment.run(_STEPS, on_step=lambda: task.advance(1))
        found = alignment.cameras()
        cameras = [
            (
                float(found.focal[number]),
                pycolmap.Rigid3d(
                    pycolmap.Rotation3d(found.rotation[number].double().cpu().numpy()),
                    found.centre[number].double().cpu().numpy(),
                ),
            )
            for number in range(len(sizes))
        ]
        return cameras, [depth.cpu().numpy() for depth in found.depths], (loss,)

    def _pointmaps(
        self, ordered: Sequence[tuple[str, str]], lost: dict[Pair, str]
    ) -> dict[tuple[str, str], list[NDArray[np.float32]]]:
        """Points and confidence of both photos by direction; pairs without one of theirs go to `lost`."""
        found: dict[tuple[str, str], list[NDArray[np.float32]]] = {}

        def give_up(some: Sequence[tuple[str, str]], why: str) -> None:
            lost.update({Pair.of(*both): why for both in some})

        def infer(some: Sequence[tuple[str, str]]) -> None:
            (both,) = some
            photos = [self.photos.find(name) for name in both]
            refused = [photo for photo in photos if isinstance(photo, str)]
            if refused:
                give_up(some, refused[0])
                return
            first, second = (photo for photo in photos if not isinstance(photo, str))
            with torch.inference_mode():
                decoded = self.predictor.decode([first], [second])
                own, other = decoded.points(1), decoded.points(2)
            values = [tensor[0].float().cpu().numpy() for both in (own, other) for tensor in both]
            if all(np.isfinite(value).all() for value in values):
                found[both] = values
            else:
                give_up(some, NOT_FINITE)

        with self.progress.task("match", len(ordered), unit="directions") as task:
            for _ in in_batches(ordered, 1, infer, give_up):
                task.advance(1)
        return found


def _confidences(directions: Sequence[Direction]) -> dict[int, NDArray[np.float32]]:
    """Of each image, the mean over its own pointmaps."""
    by_image: dict[int, list[NDArray[np.float32]]] = {}
    for one in directions:
        by_image.setdefault(one.first, []).append(one.first_confidence)
    return {image: np.asarray(np.mean(some, axis=0), np.float32) for image, some in by_image.items()}
