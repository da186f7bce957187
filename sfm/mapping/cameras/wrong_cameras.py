"""Images whose observations contradict the focal length of a shared camera, or a centred principal point.

Those that a model registers are found together, by adjustments (`focal_groups`, `cropped_images`), unless
pixels that are not square explain all images of the camera (`stretched_images`). Of those that none does, or
where they observe few of the points that they match, a pose with a free focal length is estimated. In a bent
model each image has wrong intrinsics that explain it better: the pairs of single crops, which know nothing of
the model, must support these (`pair_support`), and the caller asks whether models with all are more likely
right.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from ..measures.observations import PointTable, seen_by
from ..scene.camera_models import with_focal_length
from ..scene.scene import Scene
from .cropped_images import cropped_images
from .focal_groups import MIN_FOCAL_CHANGE, SAME_FOCAL, focal_groups
from .group_adjustment import MAX_ERROR_PX, MAX_ERROR_RATIO, groups_by, is_firm
from .pair_support import pairs_support
from .stretched_images import StretchedImages, stretched_images

Ids = npt.NDArray[np.int64]

_MIN_POINTS = 20
_MIN_OBSERVED = 0.5
"""Of the points that an image matches, for its pose to be worth an adjustment."""


@dataclass(frozen=True, slots=True)
class WrongCamera:
    """An image with another focal length than most of its camera's images, or one that was cropped."""

    name: str
    focal_px: float
    """Equal for images that share it."""
    error_px: float
    """Mean reprojection error with these intrinsics, cut at `MAX_ERROR_PX`."""
    error_shared_px: float
    """The same with the shared focal length, or for a crop as `CroppedImage` has it."""
    principal_point: tuple[float, float] | None = None
    """Of a crop, px; None: in the middle."""
    focal_others_px: float | None = None
    """Of most images of its camera; None: as it is."""
    aspect: float = 1.0
    """fy / fx, where all images of the camera were found to be stretched; 1: as it is."""


def find_wrong_cameras(
    database: Path,
    models: Sequence[pycolmap.Reconstruction],
    shared_by: Mapping[int, int],
    *,
    cropped: Set[int] = frozenset(),
    seed: int,
) -> list[WrongCamera]:
    """Images that need cameras of their own or of a few images, sorted by name; nothing is changed.

    Args:
        database: the verified pairs that the models were built from.
        models: largest first; an image that none registers is tested against the first with enough common
            points.
        shared_by: the cameras whose intrinsics may change, each with the camera that all images of the same
            value were taken to share at first. Spherical ones have nothing that may be wrong.
        cropped: those of them whose images were found to be crops before.
        seed: of the random sampling.
    """
    if not shared_by:
        return []
    scene = Scene.open(database)
    flat = {i for i, camera in scene.cache.cameras.items() if not camera.is_spherical()}
    shared_by = {i: first for i, first in shared_by.items() if i in flat}
    # A matcher may have appended keypoints since.
    tracked = [_Tracked.of(scene.with_all_keypoints(model)) for model in models]
    foreign, registered = dict[str, WrongCamera](), set[str]()
    for model in tracked:
        own = _of_model(model.model, shared_by, cropped)
        foreign |= {one.name: one for one in own if one.name not in registered}
        registered |= model.id_of.keys()
    for name, image_id in scene.id_of.items():
        camera_id = scene.cache.image(image_id).camera_id
        if shared_by.get(camera_id) != camera_id or not _is_lost(scene, name, tracked):
            continue
        if name in foreign and foreign[name].principal_point:
            continue  # a pose with a free focal length would not explain a crop
        grouped = foreign.pop(name, None)
        tests = (_test(scene, name, model, camera_id, seed) for model in tracked)
        if found := next(filter(None, tests), None):
            agrees = grouped and 1 / SAME_FOCAL < grouped.focal_px / found.focal_px < SAME_FOCAL
            foreign[name] = grouped if grouped and agrees else found
    supported = _supported_by_pairs(scene, foreign, tracked, shared_by, seed)
    return sorted(supported.values(), key=lambda one: one.name)


def _supported_by_pairs(
    scene: Scene,
    foreign: Mapping[str, WrongCamera],
    models: Sequence[_Tracked],
    shared_by: Mapping[int, int],
    seed: int,
) -> dict[str, WrongCamera]:
    """All but single crops whose pairs do not support their intrinsics, asked camera by camera; by name.

    Pairs are not asked about focal lengths, which none determines before a narrow object, nor where all
    images of a camera are crops: their intrinsics are too rough yet.
    """
    supported = {name: one for name, one in foreign.items() if not one.principal_point}
    cropped = {name: one for name, one in foreign.items() if one.principal_point}
    if not cropped:
        return supported
    present = {name: scene.cache.image(image_id).camera_id for name, image_id in scene.id_of.items()}
    first_of = {name: shared_by.get(camera_id, camera_id) for name, camera_id in present.items()}
    shared: dict[str, pycolmap.Camera] = {}
    for name, camera_id in first_of.items():
        within = (one.model for one in models if name in one.id_of and one.model.exists_camera(camera_id))
        shared[name] = _with(next(within, scene.cache).camera(camera_id))
    for camera_id in sorted({first_of[name] for name in cropped}):
        crops = {name: one for name, one in cropped.items() if first_of[name] == camera_id}
        registered = {name for one in models for name in one.id_of if first_of.get(name) == camera_id}
        own = {n: _with(shared[n], one.focal_px, one.principal_point) for n, one in crops.items()}
        if registered <= crops.keys() or pairs_support(scene, crops, {**shared, **own}, shared, seed):
            supported |= crops
    return supported


def _with(
    camera: pycolmap.Camera, focal_px: float | None = None, principal_point: tuple[float, float] | None = None
) -> pycolmap.Camera:
    """A copy with its own or another mean focal length, its principal point in the middle or elsewhere."""
    copied = with_focal_length(camera, focal_px or camera.mean_focal_length())
    if camera.principal_point_idxs():
        middle = camera.width / 2, camera.height / 2
        copied.principal_point_x, copied.principal_point_y = principal_point or middle
    return copied


def _of_model(
    model: pycolmap.Reconstruction, shared_by: Mapping[int, int], cropped: Set[int]
) -> Iterator[WrongCamera]:
    """Images of one model. While the model is bent by crops, no focal length is asked for.

    What has fewer parameters is the likelier, unless what has more explains the same images clearly better:
    one aspect of all pixels, then focal lengths of groups, then principal points of single images.
    """
    crops = list(_crops(model, shared_by))
    camera_of = {model.image(i).name: model.image(i).camera_id for i in model.reg_image_ids()}
    known = cropped & {camera_of[crop.name] for crop in crops}
    groups = list(_groups(model, {i: first for i, first in shared_by.items() if i not in known}))
    first_of = {name: shared_by.get(camera_id, camera_id) for name, camera_id in camera_of.items()}
    zoomed = _zoomed(groups, crops, first_of)
    crops = [crop for crop in crops if first_of[crop.name] not in zoomed]
    if not {camera_of[crop.name] for crop in crops} <= cropped:
        groups = [one for one in groups if first_of[one.name] in zoomed]
    alone = groups_by((*crops, *groups), lambda one: camera_of[one.name])
    alike = stretched_images(model, alone.keys() - cropped)
    for camera_id, images in alone.items():
        found = alike.get(camera_id)
        if found and not _is_clearly_better([one.error_px for one in images], [found.error_px]):
            yield from _stretched(model, found)
        else:
            yield from images


def _zoomed(
    groups: Iterable[WrongCamera], crops: Iterable[WrongCamera], first_of: Mapping[str, int]
) -> set[int]:
    """Cameras shared at first whose groups no principal points of their own explain clearly better."""
    by_crop = {crop.name: crop.error_px for crop in crops}
    return {
        first
        for first, images in groups_by(groups, lambda one: first_of[one.name]).items()
        if not _is_clearly_better(
            [by_crop.get(one.name, one.error_shared_px) for one in images], [one.error_px for one in images]
        )
    }


def _is_clearly_better(richer_px: Sequence[float], poorer_px: Sequence[float]) -> bool:
    """Whether an explanation of more parameters leaves clearly smaller errors."""
    return bool(np.mean(richer_px) <= MAX_ERROR_RATIO * np.mean(poorer_px))


def _crops(model: pycolmap.Reconstruction, shared_by: Mapping[int, int]) -> Iterator[WrongCamera]:
    for crop in cropped_images(model, shared_by):
        errors = round(crop.error_px, 3), round(crop.error_shared_px, 3)
        yield WrongCamera(model.image(crop.image_id).name, crop.focal_px, *errors, crop.principal_point)


def _groups(model: pycolmap.Reconstruction, shared_by: Mapping[int, int]) -> Iterator[WrongCamera]:
    for group in focal_groups(model, shared_by):
        errors = round(group.error_px, 3), round(group.error_shared_px, 3)
        for image_id in group.image_ids:
            name, others_px = model.image(image_id).name, group.others_px
            yield WrongCamera(name, group.focal_px, *errors, focal_others_px=others_px)


def _stretched(model: pycolmap.Reconstruction, found: StretchedImages) -> Iterator[WrongCamera]:
    errors = round(found.error_px, 3), round(found.error_square_px, 3)
    for image_id in found.image_ids:
        yield WrongCamera(model.image(image_id).name, found.focal_px, *errors, aspect=found.aspect)


@dataclass(frozen=True, slots=True)
class _Tracked:
    """A model, and which of its points the keypoints of its images are."""

    model: pycolmap.Reconstruction
    is_firm: bool
    id_of: Mapping[str, int]
    """Of its registered images."""
    points_of: Mapping[int, Ids]
    """Ids of points by keypoint of each of these images, -1 where it is of none."""
    num_images: Ids
    """That observe each point, by its id."""

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> _Tracked:
        """Each observation read once."""
        num_images = np.zeros(1 + max(model.point3D_ids(), default=0), np.int64)
        points_of = {}
        for image_id in model.reg_image_ids():
            image = model.image(image_id)
            points_of[image_id] = ids = np.full(image.num_points2D(), -1, np.int64)
            ids[image.get_observation_point2D_idxs()] = seen = seen_by(image)[0]
            num_images[np.unique(seen)] += 1
        id_of = {model.image(image_id).name: image_id for image_id in points_of}
        return cls(model, is_firm(model), id_of, points_of, num_images)

    def visible(self, scene: Scene, name: str) -> tuple[Ids, Ids]:
        """Keypoints of an image to which matches assign a point, (N,), and the ids of these points, (N,).

        Two other images observe each point: one that the image itself fixed would fit any focal length. Where
        matches assign several, it is that of the first image, by the order of the image's own keypoints.
        """
        num_others = self.num_images.copy()
        if name in self.id_of:
            observed = self.points_of[self.id_of[name]]
            num_others[np.unique(observed[observed >= 0])] -= 1
        keypoints, points = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for other in scene.view_graph.neighbours(name):
            if other in self.id_of:
                pair = Pair.of(name, other)
                matches = scene.matches(pair)
                matches = matches[np.argsort(matches[:, pair.index(name)], kind="stable")]
                here, there = (matches[:, pair.index(one)] for one in (name, other))
                ids = self.points_of[self.id_of[other]][there]
                is_seen = (ids >= 0) & (num_others[ids] >= 2)
                keypoints.append(here[is_seen].astype(np.int64))
                points.append(ids[is_seen])
        every, ids = np.concatenate(keypoints), np.concatenate(points)
        first = np.sort(np.unique(every, return_index=True)[1])
        return every[first], ids[first]


def _is_lost(scene: Scene, name: str, models: Sequence[_Tracked]) -> bool:
    """Whether no firm model registers an image where it observes most of the points that it matches."""
    for tracked in models:
        if name in tracked.id_of:
            if not tracked.is_firm:
                return True
            num_visible = len(tracked.visible(scene, name)[0])
            observed = tracked.points_of[tracked.id_of[name]]
            seen = (tracked.model.point3D(int(i)) for i in observed[observed >= 0])
            return sum(point.track.length() > 2 for point in seen) < _MIN_OBSERVED * num_visible
    return True


def _test(scene: Scene, name: str, tracked: _Tracked, camera_id: int, seed: int) -> WrongCamera | None:
    model = tracked.model
    if not any(_is_other(model, i, camera_id, name) for i in model.reg_image_ids()):
        return None  # no other image in this model supports the shared focal length
    indices, points = tracked.visible(scene, name)
    if len(indices) < _MIN_POINTS:
        return None
    xy = scene.keypoints(scene.id_of[name])[indices].astype(np.float64)
    xyz = PointTable.of(model).xyz_of(points)
    shared_px, shared_error = _estimate(xy, xyz, model.camera(camera_id), seed, free=False)
    own_px, own_error = _estimate(xy, xyz, model.camera(camera_id), seed, free=True)
    if own_error > MAX_ERROR_RATIO * shared_error or abs(own_px / shared_px - 1) < MIN_FOCAL_CHANGE:
        return None
    return WrongCamera(name, own_px, round(own_error, 3), round(shared_error, 3))


def _is_other(model: pycolmap.Reconstruction, image_id: int, camera_id: int, name: str) -> bool:
    image = model.image(image_id)
    return bool(image.camera_id == camera_id and image.name != name)


def _estimate(
    xy: npt.NDArray[np.float64],
    xyz: npt.NDArray[np.float64],
    camera: pycolmap.Camera,
    seed: int,
    *,
    free: bool,
) -> tuple[float, float]:
    """Focal length in px and error after estimating a pose, the focal length free or not.

    The error is the mean distance, px, with distances cut at the sampling threshold, so that outliers do not
    dominate it.
    """
    camera = copy.deepcopy(camera)
    estimation = pycolmap.AbsolutePoseEstimationOptions()
    estimation.estimate_focal_length = free
    # Sampling with a tight threshold would settle on the part of the points that the first focal length fits.
    estimation.ransac.max_error, estimation.ransac.random_seed = MAX_ERROR_PX, seed
    refinement = pycolmap.AbsolutePoseRefinementOptions()
    refinement.refine_focal_length, refinement.refine_extra_params = free, False
    found = pycolmap.estimate_and_refine_absolute_pose(xy, xyz, camera, estimation, refinement)
    if found is None:
        return camera.mean_focal_length(), MAX_ERROR_PX
    errors = np.linalg.norm(camera.img_from_cam(found["cam_from_world"] * xyz) - xy, axis=1)
    cut = np.fmin(errors, MAX_ERROR_PX)  # of points behind the camera, too, where there is no error
    return camera.mean_focal_length(), float(np.mean(cut))
