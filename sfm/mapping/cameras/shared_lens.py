"""Cameras of one lens, whose images are turned or resized: what one of them observes holds for all.

Without EXIF, images of one lens have a camera for each size and each turning. The images of one such camera
may be too few to determine the principal point and the distortion that all of them together determine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyceres
import pycolmap

from ..scene.camera_models import Freedom, parameter_names
from .model_selection import MAX_FOCAL_RATIO, ModelSelection, is_alike, select_model

Array = npt.NDArray[np.float64]

_MAX_COMPARED = 6
_ROUNDING_PX = 1.0
"""Of the sides of resized images."""
_TIE = 1e-5
"""Standard deviation of parameters between cameras of one lens; of lengths, relative to the focal length."""
# Of an image that is turned by 90 degrees clockwise: whose parameter each becomes, and its sign.
_QUARTER_TURN = {
    "fx": ("fy", 1),
    "fy": ("fx", 1),
    "cx": ("cy", -1),
    "cy": ("cx", 1),
    "p1": ("p2", 1),
    "p2": ("p1", -1),
    "sx1": ("sy1", -1),
    "sy1": ("sx1", 1),
}


@dataclass(frozen=True, slots=True)
class LensView:
    """How the images of a camera show a lens, compared with those of its first camera."""

    camera_id: int
    turns: int = 0
    """By 90 degrees clockwise, 0 to 3."""
    scale: float = 1.0

    def mapping(self, first: pycolmap.Camera) -> tuple[Array, Array]:
        """Matrix (P, P) and offset (P,) that lead from the parameters of the first camera to this one's."""
        names, size = parameter_names(first), (first.width, first.height)
        at = {name: i for i, name in enumerate(names)}
        matrix, offset = np.eye(len(names)), np.zeros(len(names))
        for turn in range(self.turns):
            quarter, shift = np.eye(len(names)), np.zeros(len(names))
            for name, (source, sign) in _QUARTER_TURN.items():
                if name in at:
                    quarter[at[name]] = sign * np.eye(len(names))[at[source]]
            shift[at["cx"]] = size[(turn + 1) % 2]
            matrix, offset = quarter @ matrix, quarter @ offset + shift
        is_length = [name in ("f", "fx", "fy", "cx", "cy") for name in names]
        scale = np.where(is_length, self.scale, 1.0)
        return scale[:, None] * matrix, scale * offset

    def freedom(self, own: Freedom, first: Freedom) -> Freedom:
        """The camera's freedom with the directions of the first camera's, so that both change together."""
        return replace(own, directions=self.mapping(first.camera)[0] @ first.directions, prior=first.prior)


def possible_views(first: pycolmap.Camera, other: pycolmap.Camera) -> list[LensView]:
    """How the images of another camera may show the lens of the first; empty where they cannot."""
    if other.model != first.model or not first.focal_length_idxs():
        return []
    scale = max(other.width, other.height) / max(first.width, first.height)
    ratio = other.mean_focal_length() / (scale * first.mean_focal_length())
    if max(ratio, 1 / ratio) > MAX_FOCAL_RATIO:
        return []
    found = []
    for turns in range(4):
        size = (first.height, first.width) if turns % 2 else (first.width, first.height)
        if np.allclose(np.multiply(size, scale), (other.width, other.height), rtol=0, atol=_ROUNDING_PX):
            found.append(LensView(other.camera_id, turns, scale))
    return found


def shared_lenses(
    model: pycolmap.Reconstruction,
    freedoms: Mapping[int, Freedom],
    alone: Mapping[int, ModelSelection],
    num_images: Mapping[int, int],
) -> tuple[list[list[LensView]], dict[int, ModelSelection]]:
    """Cameras that have one lens by their observations, and their selections, where that frees parameters.

    Cameras of a rig have lenses of their own. Of many cameras, those with most images are compared.

    Args:
        model: globally adjusted, without outliers.
        freedoms: of each camera.
        alone: the selection of each camera by its own images.
        num_images: of each camera.
    """
    in_rig = {
        sensor.id for rig in model.rigs.values() if rig.num_sensors() > 1 for sensor in rig.sensor_ids()
    }
    waiting = sorted(freedoms.keys() - in_rig, key=lambda i: (-num_images[i], i))[:_MAX_COMPARED]
    lenses, selections = [], dict(alone)
    while waiting:
        first, *waiting = waiting
        views, best = [LensView(first)], alone[first]
        for other in tuple(waiting):
            found = [
                (select_model(model, _together(freedoms, [*views, view])), view)
                for view in possible_views(model.camera(first), model.camera(other))
            ]
            for joint, view in sorted(found, key=lambda one: -one[0].log_evidence)[:1]:
                together = _together(freedoms, [*views, view])
                if joint.accepted and is_alike(model, together, other, joint):
                    views.append(view)
                    waiting.remove(other)
                    best = joint
        if len(views) > 1:
            lenses.append(views)
            for camera_id, own in _together(freedoms, views).items():
                selections[camera_id] = best.of_camera(camera_id, num_images[camera_id], own)
    return lenses, selections


def _together(freedoms: Mapping[int, Freedom], views: Sequence[LensView]) -> dict[int, Freedom]:
    """Freedoms of the cameras of a lens, in the directions of the first."""
    first = freedoms[views[0].camera_id]
    return {view.camera_id: view.freedom(freedoms[view.camera_id], first) for view in views}


class _Tie(pyceres.CostFunction):  # type: ignore[misc]  # pyceres has no annotations
    """Parameters of a camera minus those that the first camera of its lens gives it."""

    def __init__(self, matrix: Array, offset: Array, sigma: Array) -> None:
        super().__init__()
        self._matrix, self._offset, self._sigma = matrix, offset, sigma
        self.set_num_residuals(len(offset))
        self.set_parameter_block_sizes([len(offset), len(offset)])

    def Evaluate(
        self, parameters: Sequence[Array], residuals: Array, jacobians: Sequence[Array | None] | None
    ) -> bool:
        first, own = parameters
        residuals[:] = (own - self._matrix @ first - self._offset) / self._sigma
        if jacobians is not None:
            for jacobian, values in zip(jacobians, (-self._matrix, np.eye(len(own))), strict=True):
                if jacobian is not None:
                    jacobian[:] = (values / self._sigma[:, None]).ravel()
        return True


def tie(problem: pyceres.Problem, first: pycolmap.Camera, own: pycolmap.Camera, view: LensView) -> None:
    """Keep two cameras of one lens alike in an adjustment, if both are part of it."""
    if not all(problem.has_parameter_block(camera.params) for camera in (first, own)):
        return
    matrix, offset = view.mapping(first)
    is_length = [name in ("f", "fx", "fy", "cx", "cy") for name in parameter_names(first)]
    sigma = _TIE * np.where(is_length, own.mean_focal_length(), 1.0)
    problem.add_residual_block(_Tie(matrix, offset, sigma), None, [first.params, own.params])
