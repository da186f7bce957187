"""Focal lengths that EXIF or a backend gave, held where the observations cannot determine better ones.

A flat scene seen straight down from one height fits any focal length: the camera height and the distortion
compensate it. A focal length from EXIF is within a few per cent, so it stays until the observations determine
a better one (`given_sigma`).

The guess of a backend stays, too, where nearly all points are of two images, since depth compensates any
focal length. Such models grow with the guess, and the standard deviation of their focal length decides in the
end.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pycolmap

from ..scene.camera_models import Freedom, freedom
from ..scene.journal import Journal
from ..scene.options import MapperOptions
from ..scene.scene import Scene
from ..scene.session import MapperSession
from .evidence import Folds, jackknife
from .linearized_observations import gather, gather_of_cameras
from .reduced_system import ReducedSystem

_MIN_SHARE = 0.2
"""Of the matched keypoints, that two other images see, too."""
_MAX_SIGMA = 0.02
"""Of a focal length, relative, by the observations: about what a guess, or EXIF, is good to."""
_UNDERSTATED = 10.0
"""Ratio of the standard deviation by the jackknife to the formal one, at most."""
_MIN_IMAGES = 3
"""Fewer do not determine a focal length."""
_ENOUGH = 3_000  # observations; more only cost time


def with_held_focal(
    session: MapperSession, options: pycolmap.BundleAdjustmentOptions
) -> pycolmap.BundleAdjustmentOptions:
    """`options` of an adjustment of the session's model, without focal lengths where these are held.

    COLMAP frees the focal lengths of all cameras or of none; distortion stays free. Given focal lengths that
    are held are set to what was given, in the model.
    """
    if not options.refine_focal_length:
        return options
    if must_hold_given(session.scene, session.reconstruction, session.options):
        _reset(session)
        return without_focal(options)
    return without_focal(options) if holds_guess(session) else options


def with_held_local_focal(
    session: MapperSession, options: pycolmap.BundleAdjustmentOptions
) -> pycolmap.BundleAdjustmentOptions:
    """The same for an adjustment of a few images, which determine no focal length that others share."""
    if not options.refine_focal_length or not (
        holds_guess(session) or _given(session.scene, session.reconstruction, session.options)
    ):
        return options
    return without_focal(options)


def without_focal(options: pycolmap.BundleAdjustmentOptions) -> pycolmap.BundleAdjustmentOptions:
    """A copy that leaves focal lengths as they are."""
    held = copy.deepcopy(options)
    held.refine_focal_length = False
    return held


def holds_guess(session: MapperSession) -> bool:
    """Whether a camera of the model has a guessed focal length that the matches hardly determine."""
    model = session.reconstruction
    return bool(_guessed(session)) and not matches_tell(
        session.scene, (model.image(image_id).name for image_id in model.reg_image_ids())
    )


def must_hold_given(scene: Scene, model: pycolmap.Reconstruction, options: MapperOptions) -> bool:
    """Whether the focal lengths of most images are given, and the observations determine no better ones."""
    given = _given(scene, model, options)
    if not given:
        return False
    num_images = sum(model.image(i).camera_id in given for i in model.reg_image_ids())
    return num_images < _MIN_IMAGES or given_sigma(model, given, options.final_ba) > _MAX_SIGMA


def given_sigma(
    model: pycolmap.Reconstruction, camera_ids: Iterable[int], options: pycolmap.BundleAdjustmentOptions
) -> float:
    """Standard deviation of a common factor of the focal lengths of some cameras of a model.

    By the jackknife over images, since the formal value is too small by a factor of up to ten. Where that
    factor leaves no doubt, the formal value times it. Infinity where the formal value is above `_MAX_SIGMA`
    already, or nothing is observed.
    """
    cameras = {camera_id: model.camera(camera_id) for camera_id in camera_ids}
    num_extra = min(len(camera.extra_params_idxs()) for camera in cameras.values())
    freedoms = {
        camera_id: _common_factor(camera, num_extra if options.refine_extra_params else 0)
        for camera_id, camera in cameras.items()
    }
    seen = gather_of_cameras(model, freedoms, max_observations=_ENOUGH)
    if not seen.variance > 0:
        return np.inf
    free = range(seen.by_intrinsics.shape[2])
    prior = np.zeros(len(free))
    try:
        whole = ReducedSystem.of(seen)
        covariance = whole.covariance(free, prior) * seen.variance
        if not 0 <= covariance[0, 0] <= _MAX_SIGMA**2:
            return np.inf  # leaving images out would find more still
        formal = float(np.sqrt(covariance[0, 0]))
        if formal * _UNDERSTATED <= _MAX_SIGMA:
            return formal * _UNDERSTATED
        scatter = float(jackknife(Folds.of(seen, whole).steps(free, prior))[0, 0])
    except np.linalg.LinAlgError:  # poses that nothing holds
        return np.inf
    return max(formal, float(np.sqrt(scatter))) if np.isfinite(scatter) else np.inf


def _common_factor(camera: pycolmap.Camera, num_extra: int) -> Freedom:
    """A camera with its focal length, as a factor, and the first of its distortion parameters free."""
    focal, extra = camera.focal_length_idxs(), camera.extra_params_idxs()[:num_extra]
    directions = np.zeros((len(camera.params), 1 + num_extra))
    directions[focal, 0] = np.asarray(camera.params)[focal]
    directions[extra, range(1, 1 + num_extra)] = 1.0
    names = ("f", *(f"extra {i}" for i in range(num_extra)))
    return Freedom(camera, names, directions, np.zeros(0), tuple(range(len(names))), ())


def _reset(session: MapperSession) -> None:
    for camera_id in _given(session.scene, session.reconstruction, session.options):
        camera, given = (model.cameras[camera_id] for model in (session.reconstruction, session.scene.cache))
        params, same = list(camera.params), camera.model == given.model
        for index in camera.focal_length_idxs():
            params[index] = given.params[index] if same else given.mean_focal_length()
        camera.params = params


def _given(scene: Scene, model: pycolmap.Reconstruction, options: MapperOptions) -> frozenset[int]:
    """Ids of the cameras whose focal length is given and may change; none where they took few images.

    None, too, where the observations have determined better ones.
    """
    if not options.holds_given:
        return frozenset()
    taken = Counter(model.image(image_id).camera_id for image_id in model.reg_image_ids())
    given = frozenset(
        camera_id
        for camera_id in taken
        if scene.cache.camera(camera_id).has_prior_focal_length
        and camera_id not in options.pipeline.constant_cameras
    )
    return given if 2 * sum(taken[i] for i in given) > taken.total() else frozenset()


def determined_focal(session: MapperSession, journal: Journal) -> bool:
    """Whether the observations of a settled model determine the focal lengths that were held, all of them."""
    sigmas = {i: _sigma(session.reconstruction, i, session.options.final_ba) for i in _guessed(session)}
    determined = all(sigma <= _MAX_SIGMA for sigma in sigmas.values())
    for camera_id, sigma in sigmas.items():
        known = round(sigma, 4) if np.isfinite(sigma) else None
        journal.note("guessed_focal_length", camera_id=camera_id, relative_sigma=known, held=not determined)
    return determined


def _guessed(session: MapperSession) -> list[int]:
    """Ids of cameras of the model, ascending, whose focal length is a guess."""
    model, guessed = session.reconstruction, session.options.guessed_cameras
    return sorted(guessed & {model.image(i).camera_id for i in model.reg_image_ids()}) if guessed else []


def _sigma(
    model: pycolmap.Reconstruction, camera_id: int, options: pycolmap.BundleAdjustmentOptions
) -> float:
    """Formal standard deviation of a focal length, relative to it.

    Infinity where nothing is observed, or `options` free no focal length.
    """
    camera = model.camera(camera_id)
    could = freedom(camera, options, richest=camera.model_name, principal_point=False)
    at = [could.base.index(i) for i in could.focal if i in could.base]
    seen = gather(model, camera_id, could)
    if not at or not seen.variance > 0:
        return np.inf
    try:
        prior = seen.variance / could.prior**2
        covariance = ReducedSystem.of(seen).covariance(could.base, prior) * seen.variance
    except np.linalg.LinAlgError:  # poses that nothing holds
        return np.inf
    variance = float(np.diagonal(covariance)[at].max())
    return float(np.sqrt(variance)) / camera.mean_focal_length() if variance >= 0 else np.inf


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
