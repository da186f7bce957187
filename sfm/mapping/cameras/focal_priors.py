"""Intrinsics that EXIF or a backend gave, held where the observations cannot determine better ones.

A flat scene seen straight down from one height fits any focal length: the camera height and the distortion
compensate it. A focal length from EXIF is within a few per cent, so it stays until the observations determine
a better one (`given_sigma`). So does the guess of a backend where nearly all points are of two images, since
depth compensates any focal length.

Distortion is held with one of EXIF until it is determined better than it is known of lenses
(`_has_known_distortion`): in two images it makes up for a wrong pose.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Set

import numpy as np
import pycolmap

from ..scene.camera_models import Freedom, ladder_of, sigma_of_distortion
from ..scene.options import MapperOptions
from ..scene.scene import Scene
from ..scene.session import MapperSession
from .evidence import Folds, jackknife
from .linearized_observations import gather_of_cameras
from .reduced_system import ReducedSystem

SIGMA_FOCAL = 0.02
"""Of a focal length by EXIF or a guess, relative: observations that determine one better are believed."""
_MIN_SHARE = 0.2
"""Of the matched keypoints, that two other images see, too."""
_UNDERSTATED = 10.0
"""Ratio of the standard deviation by the jackknife to the formal one, at most."""
_MIN_IMAGES = 3
"""Fewer determine neither focal length nor distortion."""
_ENOUGH = 3_000  # observations; more only cost time
_SMALL = 10
"""Of images: smaller models say little of others than those of the same images."""
_GROWN = 1.2
"""Ratio of the numbers of images of two growing models between which a decision is made anew."""


def with_held_intrinsics(
    session: MapperSession, options: pycolmap.BundleAdjustmentOptions, *, is_growing: bool = False
) -> pycolmap.BundleAdjustmentOptions:
    """`options` of an adjustment of the session's model, without intrinsics that are held.

    COLMAP frees the focal lengths of all cameras or of none; so it does with distortion, which is held only
    with focal lengths of EXIF. What is held is set to what was given, in the model.

    Args:
        session: with the model.
        options: left unchanged.
        is_growing: whether to reuse the decision for another model of the same images, or for a large one of
            similar size; deciding costs an adjustment.
    """
    if not options.refine_focal_length:
        return options
    given = _given(session.scene, session.reconstruction, session.options)
    images, decided = session.registered, session.scene.held_intrinsics.setdefault(given, {})
    near = [one for one, (holds, _) in decided.items() if is_growing and _is_near(images, one, holds=holds)]
    if not near:
        decided[images] = _held(session, given)
    holds_focal, frees_distortion = decided[max(near, key=len, default=images)]
    if not holds_focal:
        return options
    held = without_focal(options)
    held.refine_extra_params = options.refine_extra_params and frees_distortion
    _reset(session, given, distortion=options.refine_extra_params and not held.refine_extra_params)
    return held


def _is_near(images: Set[str], decided: Set[str], *, holds: bool) -> bool:
    """Whether what was decided of a model of some images is enough for a growing one of others."""
    is_same = images == decided and not holds  # held in a poor model, it may be free in a better one
    return is_same or max(len(decided), _SMALL) <= len(images) < _GROWN * len(decided)


def _held(session: MapperSession, given: frozenset[int]) -> tuple[bool, bool]:
    """Whether given focal lengths are held, and whether their cameras' distortions are free nevertheless."""
    model, guessed = session.reconstruction, session.options.guessed_focal_lengths
    if not _must_hold(model, given, session.options):
        return False, True
    return True, not given.isdisjoint(guessed) or _has_known_distortion(model, given)


def with_held_local_focal(
    session: MapperSession, options: pycolmap.BundleAdjustmentOptions
) -> pycolmap.BundleAdjustmentOptions:
    """`options` of an adjustment of a few images: these determine no given focal length that others share."""
    given = options.refine_focal_length and _given(session.scene, session.reconstruction, session.options)
    return without_focal(options) if given else options


def without_focal(options: pycolmap.BundleAdjustmentOptions) -> pycolmap.BundleAdjustmentOptions:
    """A copy that leaves focal lengths as they are."""
    held = copy.deepcopy(options)
    held.refine_focal_length = False
    return held


def must_hold_given(scene: Scene, model: pycolmap.Reconstruction, options: MapperOptions) -> bool:
    """Whether the focal lengths of most images are given, and the observations determine no better ones."""
    return _must_hold(model, _given(scene, model, options), options)


def _must_hold(model: pycolmap.Reconstruction, given: Set[int], options: MapperOptions) -> bool:
    if not given:
        return False
    num_images = sum(model.image(i).camera_id in given for i in model.reg_image_ids())
    return num_images < _MIN_IMAGES or given_sigma(model, given, options.final_ba) > SIGMA_FOCAL


def given_sigma(
    model: pycolmap.Reconstruction, camera_ids: Iterable[int], options: pycolmap.BundleAdjustmentOptions
) -> float:
    """Standard deviation of a common factor of the focal lengths of some cameras of a model; see `_sigma`."""
    cameras = {camera_id: model.camera(camera_id) for camera_id in camera_ids}
    num_extra = min(len(camera.extra_params_idxs()) for camera in cameras.values())
    num_extra = num_extra if options.refine_extra_params else 0
    freedoms = {i: _freed(camera, num_extra, focal=True) for i, camera in cameras.items()}
    return _sigma(model, freedoms, SIGMA_FOCAL)


def _has_known_distortion(model: pycolmap.Reconstruction, camera_ids: Iterable[int]) -> bool:
    """Whether the observations determine the distortion of each camera better than it is known of lenses."""
    for camera in map(model.camera, camera_ids):
        if ladder_of(camera.model_name):
            known = sigma_of_distortion(camera)
            freedom = _freed(camera, len(camera.extra_params_idxs()), focal=False)
            if _sigma(model, {camera.camera_id: freedom}, known) > known:
                return False
    return True


def _sigma(model: pycolmap.Reconstruction, freedoms: Mapping[int, Freedom], known: float) -> float:
    """Standard deviation of the first direction of cameras that change together.

    By the jackknife over images, since the formal value is too small by a factor of up to ten. Where that
    factor leaves no doubt, or there are too few images, the formal value times it. Infinity where the formal
    value is above `known` already, or nothing is observed.
    """
    seen = gather_of_cameras(model, freedoms, max_observations=_ENOUGH)
    if not seen.variance > 0:
        return np.inf
    free = range(seen.by_intrinsics.shape[2])
    prior = np.zeros(len(free))
    try:
        whole = ReducedSystem.of(seen)
        covariance = whole.covariance(free, prior) * seen.variance
        if not 0 <= covariance[0, 0] <= known**2:
            return np.inf  # leaving images out would find more still
        formal = float(np.sqrt(covariance[0, 0]))
        if formal * _UNDERSTATED <= known or model.num_reg_images() < _MIN_IMAGES:
            return formal * _UNDERSTATED
        scatter = float(jackknife(Folds.of(seen, whole).steps(free, prior))[0, 0])
    except np.linalg.LinAlgError:  # poses that nothing holds
        return np.inf
    return max(formal, float(np.sqrt(scatter))) if np.isfinite(scatter) else np.inf


def _freed(camera: pycolmap.Camera, num_extra: int, *, focal: bool) -> Freedom:
    """A camera with its first distortion parameters free, and with `focal` its focal length, as a factor."""
    every = np.eye(len(camera.params))
    factor = every[:, list(camera.focal_length_idxs())].sum(axis=1, keepdims=True) * camera.params[:, None]
    extra = every[:, list(camera.extra_params_idxs()[:num_extra])]
    directions = np.hstack((factor, extra)) if focal else extra
    names = (*(("f",) if focal else ()), *(f"extra {i}" for i in range(num_extra)))
    return Freedom(camera, names, directions, np.zeros(0), tuple(range(len(names))), ())


def _reset(session: MapperSession, given: Iterable[int], *, distortion: bool) -> None:
    for camera_id in given:
        camera, was = (model.cameras[camera_id] for model in (session.reconstruction, session.scene.cache))
        params, same = np.array(camera.params), camera.model == was.model
        guess = session.options.guessed_focal_lengths.get(camera_id)
        focal, extra = list(camera.focal_length_idxs()), list(camera.extra_params_idxs())
        params[focal] = guess or (np.array(was.params)[focal] if same else was.mean_focal_length())
        if distortion:
            params[extra] = np.array(was.params)[extra] if same else 0.0
        camera.params = params.tolist()


def _given(scene: Scene, model: pycolmap.Reconstruction, options: MapperOptions) -> frozenset[int]:
    """Ids of the cameras whose focal length is given and may change; none where they took few images.

    None, too, where the observations have determined better ones.
    """
    if not options.holds_given:
        return frozenset()
    taken = Counter(model.image(image_id).camera_id for image_id in model.reg_image_ids())
    known = {camera_id for camera_id in taken if scene.cache.camera(camera_id).has_prior_focal_length}
    if options.guessed_focal_lengths and not matches_tell(
        scene, (model.image(image_id).name for image_id in model.reg_image_ids())
    ):
        known |= options.guessed_focal_lengths.keys()
    given = known & taken.keys() - options.pipeline.constant_cameras
    return frozenset(given) if 2 * sum(taken[i] for i in given) > taken.total() else frozenset()


def matches_tell(scene: Scene, names: Iterable[str]) -> bool:
    """Whether enough keypoints of some images are matched with more than one other image."""
    counts = [scene.matched_keypoints(name) for name in names]
    return sum(more for _, more in counts) >= _MIN_SHARE * sum(every for every, _ in counts)


def starting_values(
    scene: Scene, guesses: Mapping[int, float], estimates: Mapping[int, float]
) -> dict[int, float]:
    """Focal length (px) by camera id, from guesses of the backend's and estimates from pairs of images.

    Estimates win unless the images of the camera hardly have more than pairs.
    """
    images: dict[int, list[str]] = {}
    for image in scene.cache.images.values():
        images.setdefault(image.camera_id, []).append(image.name)
    trusted = {
        camera_id: focal_px
        for camera_id, focal_px in estimates.items()
        if camera_id not in guesses or matches_tell(scene, images.get(camera_id, ()))
    }
    return {**guesses, **trusted}
