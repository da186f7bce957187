"""Focal lengths that a backend saw in single photos, held where the matches cannot tell better.

Two photos that look the same way hardly tell their focal length: depth makes up for any. Where nearly all
points are of two photos, bundle adjustment then follows the noise: on a rendered chain of twelve photos it
went from a guess of 441 px to 324, where 448 was true. So such models grow with the guess, and in the end
their observations are asked how well they determine a better one: there to a third of it, in a chain of
photos that turn a little to a fiftieth.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

import numpy as np
import pycolmap

from ..journal import Journal
from ..scene import Scene
from ..session import MapperSession
from .ladder import LADDER, freedom
from .reduced_system import ReducedSystem
from .sightings import gather

_MIN_SHARE = 0.2
"""Of the matched keypoints, that two other photos see, too."""
_MAX_SIGMA = 0.02
"""Of a focal length, relative, by the observations: about what a guess is good to."""


def with_held_focal(
    session: MapperSession, options: pycolmap.BundleAdjustmentOptions
) -> pycolmap.BundleAdjustmentOptions:
    """`options` of an adjustment of the session's model, without focal lengths where these are held.

    COLMAP frees the focal lengths of all cameras or of none; distortion stays free.
    """
    if not options.refine_focal_length or not holds_focal(session):
        return options
    held = copy.deepcopy(options)
    held.refine_focal_length = False
    return held


def holds_focal(session: MapperSession) -> bool:
    """Whether a camera of the model has a focal length that is a guess, and matches say too little of it."""
    model = session.reconstruction
    return bool(_guessed(session)) and not matches_tell(
        session.scene, (model.image(image_id).name for image_id in model.reg_image_ids())
    )


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
    """Standard deviation that the observations leave to a focal length, relative to it.

    Infinity where nothing is left to tell by, or `options` free no focal length.
    """
    camera = model.camera(camera_id)
    richest = camera.model_name if camera.model_name in LADDER else LADDER[0]
    could = freedom(camera, options, richest=richest, principal_point=False)
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
    """Whether enough keypoints of some photos are matched with more than one other photo."""
    counts = [scene.matched_keypoints(name) for name in names]
    return sum(more for _, more in counts) >= _MIN_SHARE * sum(every for every, _ in counts)


def starting_values(
    scene: Scene, guesses: Mapping[int, float], estimates: Mapping[int, float]
) -> dict[int, float]:
    """Focal length (px) by camera id, from guesses of the backend's and estimates from pairs of photos.

    Estimates win unless the photos of the camera hardly have more than pairs.
    """
    photos: dict[int, list[str]] = {}
    for image in scene.cache.images.values():
        photos.setdefault(image.camera_id, []).append(image.name)
    trusted = {
        camera_id: focal_px
        for camera_id, focal_px in estimates.items()
        if camera_id not in guesses or matches_tell(scene, photos.get(camera_id, ()))
    }
    return {**guesses, **trusted}
