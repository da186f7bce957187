"""Rolling shutter: whether a moving camera exposes the rows of a frame one after the other, and how slowly.

A camera with a rolling shutter sees a row with the pose that it has when the row is read out. With a motion
that is even from frame to frame, a point is off by the row's share of the readout, times the motion of the
point between frames (Hedborg et al. 2012, Rolling Shutter Bundle Adjustment, equation 3). Readout is one more
parameter of the linearised bundle adjustment, whose poses and points are free to follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pycolmap
from scipy.spatial.transform import Rotation

from ..scene.camera_models import own_parameters
from .evidence import Folds
from .linearized_observations import LinearizedObservations, gather
from .reduced_system import ReducedSystem

Array = npt.NDArray[np.float64]

_MIN_IMAGES = 8
_MIN_SIGMAS = 5.0
_MIN_EFFECT_PX = 0.2
"""How far it moves one observation in ten, for a readout to matter."""
_MAX_SHARE = 1.2
"""Of the time between frames; a readout ends before the next frame begins."""
_MAX_TURN = 0.5  # rad between the frames before and after, for which motion is even enough


Side = Literal["top", "bottom", "left", "right"]


@dataclass(frozen=True, slots=True)
class Readout:
    """The time from the first to the last line of a frame."""

    share: float
    """Of the time between two frames."""
    sigma: float
    """Standard deviation of the share."""
    effect_px: float
    """How far it moves nine in ten observations at most, px."""
    first: Side
    """The side of the image that is exposed first."""


@np.errstate(all="ignore")  # damaged models have observations that are no numbers; those are left out
def readout(model: pycolmap.Reconstruction, camera_id: int, frames: Sequence[str]) -> Readout | None:
    """The readout of a camera by the observations of a model; None where they show none.

    Args:
        model: finished.
        camera_id: of a camera of the model.
        frames: names of all photos in the order of capture, those that are in no model as well.
    """
    camera = model.camera(camera_id)
    if not camera.focal_length_idxs():
        return None
    could = own_parameters(camera)
    num, free = len(could.names), [*camera.focal_length_idxs(), *camera.extra_params_idxs()]
    seen, num_moving = _with_motion(model, gather(model, camera_id, could), camera, frames)
    if num_moving < _MIN_IMAGES or not seen.variance > 0:
        return None
    prior = seen.variance / np.append(could.prior, (1.0, 1.0)) ** 2
    found = []
    both: tuple[tuple[int, Side, Side], ...] = ((num + 1, "top", "bottom"), (num, "left", "right"))
    try:
        folds = Folds.of(seen, ReducedSystem.of(seen))
        estimates = [folds.estimate([*free, axis], [axis], prior) for axis, _, _ in both]
    except np.linalg.LinAlgError:  # poses that nothing determines
        return None
    for (axis, first, last), estimate in zip(both, estimates, strict=True):
        share, spread = float(estimate.shift[0]), float(np.sqrt(estimate.covariance[0, 0]))
        moved = np.linalg.norm(share * seen.by_intrinsics[:, :, axis], axis=1)
        effect = float(np.quantile(moved[moved > 0], 0.9)) if moved.any() else 0.0
        found.append(Readout(abs(share), spread, effect, first if share > 0 else last))
    best = max(found, key=lambda one: one.share / one.sigma)
    is_shown = best.share >= _MIN_SIGMAS * best.sigma and best.share <= _MAX_SHARE
    return best if is_shown and best.effect_px >= _MIN_EFFECT_PX else None


def _with_motion(
    model: pycolmap.Reconstruction,
    seen: LinearizedObservations,
    camera: pycolmap.Camera,
    frames: Sequence[str],
) -> tuple[LinearizedObservations, int]:
    """Two more columns of `by_intrinsics`, readout along x and y; number of images whose motion is known.

    Motion is that from the frame before to the frame after; of images without both it is left at nothing.
    """
    at = {name: i for i, name in enumerate(frames)}
    id_of = {model.image(i).name: i for i in model.reg_image_ids()}
    velocity, num_moving = np.zeros((seen.num_images, 6)), 0
    for row in seen.own:
        place = at.get(model.image(int(seen.image_ids[row])).name, 0)
        around = frames[place - 1 : place + 2 : 2] if place else ()
        if len(around) < 2 or not all(name in id_of for name in around):
            continue
        before, after = (model.image(id_of[name]).cam_from_world() for name in around)
        step = after * before.inverse()
        if not np.isfinite(step.matrix()).all():
            continue
        turn = Rotation.from_matrix(step.rotation.matrix()).as_rotvec()
        if np.linalg.norm(turn) <= _MAX_TURN:
            velocity[row] = np.append(turn, np.asarray(step.translation) / seen.size) / 2
            num_moving += 1
    motion = (seen.by_pose @ velocity[seen.image][:, :, None])[:, :, 0]
    size = np.array([camera.width, camera.height])
    along = seen.xy / size - 0.5
    columns = motion[:, :, None] * along[:, None, :]
    return replace(seen, by_intrinsics=np.concatenate((seen.by_intrinsics, columns), axis=2)), num_moving
