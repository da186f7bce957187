"""Several cameras of one physical lens: the principal point and distortion of one hold for all.

Without EXIF, images of one lens have a camera for each size, turning, shape and zoom setting. The images of
one such camera may be too few to determine the principal point and the distortion that all of them determine
together. A digital zoom, a crop about the middle of the image, magnifies the principal point's offset; a cut
to another shape leaves it as it is. Both leave the distortion as it is, a function of the angle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyceres
import pycolmap

from ..scene.camera_models import Freedom, parameter_names
from ..scene.rigs import cameras_of_rigs
from .focal_groups import SAME_FOCAL
from .group_adjustment import groups_by, median_of
from .linearized_observations import NO_SECOND
from .model_selection import MIN_LOG_EVIDENCE, ModelSelection, select_model, supports

Array = npt.NDArray[np.float64]

MAX_FOCAL_RATIO = 1.01
"""Of cameras whose images are taken to be unzoomed, at one image size."""
_MAX_COMPARED = 3
_MAX_ZOOM = 4.0
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
    """Of the image's sides."""
    zoom: float = 1.0
    """Focal length over that of an image of the first camera at this scale; 1: the same by assumption."""
    cut_px: tuple[float, float] = (0.0, 0.0)
    """Width and height less those of the turned image of the first camera at this scale, where images of one
    were cut about their middle, as phones cut to another aspect ratio."""
    is_cropped: bool = False
    """Whether its images and those of the first camera are crops: their principal points are their own."""

    @property
    def is_zoomed(self) -> bool:
        """Whether the focal length is the camera's own."""
        return self.zoom != 1.0

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
        centre = np.zeros(len(names))
        centre[[at["cx"], at["cy"]]] = np.array(size[::-1] if self.turns % 2 else size) / 2
        enlarged = np.where(_are_lengths(first), self.scale * self.zoom, 1.0)
        own = self.scale * centre
        own[[at["cx"], at["cy"]]] += np.array(self.cut_px) / 2
        return enlarged[:, None] * matrix, enlarged * (offset - centre) + own


Lenses: TypeAlias = Sequence[Sequence[LensView]]
"""Cameras by the lens that they share."""


def crops_of_one_lens(model: pycolmap.Reconstruction, cropped: Iterable[int]) -> Iterator[list[LensView]]:
    """Cameras of cropped images that have one model, one size and nearly one focal length."""

    def kind(camera_id: int) -> tuple[object, ...]:
        camera = model.camera(camera_id)
        return camera.model, camera.width, camera.height

    for group in groups_by(cropped, kind).values():
        focal_px = {i: model.camera(i).mean_focal_length() for i in group}
        typical_px = median_of(focal_px, group)
        first = min(group, key=lambda i: (abs(focal_px[i] - typical_px), i))
        alike = [i for i in group if 1 / SAME_FOCAL < focal_px[i] / focal_px[first] < SAME_FOCAL]
        yield [LensView(i, is_cropped=True) for i in sorted(alike, key=lambda i: (i != first, i))]


def tied_cameras(lenses: Lenses) -> set[int]:
    """Ids of the cameras that share a lens with others."""
    return {view.camera_id for views in lenses for view in views}


def possible_views(first: pycolmap.Camera, other: pycolmap.Camera) -> list[LensView]:
    """How the images of another camera may show the lens of the first; empty where they cannot.

    Images of another aspect ratio were cut, where that explains the focal length.
    """
    if other.model != first.model or not first.focal_length_idxs():
        return []
    sides, found = np.array([other.width, other.height]), []
    for turns in range(4):
        size = np.array([first.height, first.width] if turns % 2 else [first.width, first.height])
        is_whole = np.allclose(size * sides.max() / size.max(), sides, rtol=0, atol=_ROUNDING_PX)
        for scale in [sides.max() / size.max()] if is_whole else sides / size:
            zoom = other.mean_focal_length() / (scale * first.mean_focal_length())
            cut_px = (0.0, 0.0) if is_whole else tuple((sides - scale * size).tolist())
            if max(zoom, 1 / zoom) <= MAX_FOCAL_RATIO:
                found.append(LensView(other.camera_id, turns, float(scale), cut_px=cut_px))
            elif is_whole and max(zoom, 1 / zoom) <= _MAX_ZOOM:
                found.append(LensView(other.camera_id, turns, float(scale), zoom))
    return found


def shared_lenses(
    model: pycolmap.Reconstruction,
    freedoms: Mapping[int, Freedom],
    alone: Mapping[int, ModelSelection],
    num_images: Mapping[int, int],
    first_of_second: Mapping[int, int] = NO_SECOND,
    *,
    known: Lenses = (),
) -> tuple[Lenses, dict[int, ModelSelection]]:
    """Cameras that have one lens by their observations, and their selections, where that frees parameters.

    Cameras of a rig have lenses of their own. Of many cameras, those with most images are compared.

    Args:
        model: globally adjusted, without outliers.
        freedoms: of each camera.
        alone: the selection of each camera by its own images, of those that have enough of them.
        num_images: of each camera.
        first_of_second: as `Scene.first_of_second`.
        known: cameras that have one lens, whatever is free.
    """
    lenses, selections = [], dict(alone)
    for views in _remaining(model, known, freedoms.keys()):
        joint = select_model(model, _together(freedoms, views), first_of_second)
        lenses.append(views)
        selections |= _of_each(joint, freedoms, views, num_images)
    apart = freedoms.keys() - cameras_of_rigs(model.rigs.values()) - tied_cameras(known)
    waiting = sorted(apart, key=lambda i: (-num_images[i], i))[:_MAX_COMPARED]
    while waiting and waiting[0] in alone:
        first, *waiting = waiting
        views, best = _of_one_lens(model, freedoms, alone, first, waiting, first_of_second)
        waiting = [i for i in waiting if i not in {view.camera_id for view in views}]
        if len(views) > 1:
            lenses.append(views)
            selections |= _of_each(best, freedoms, views, num_images)
    return lenses, selections


def _of_one_lens(
    model: pycolmap.Reconstruction,
    freedoms: Mapping[int, Freedom],
    alone: Mapping[int, ModelSelection],
    first: int,
    waiting: Sequence[int],
    first_of_second: Mapping[int, int],
) -> tuple[list[LensView], ModelSelection]:
    """The first camera and those of the waiting ones that have its lens, and what all of them support."""
    views, best = [LensView(first)], alone[first]
    possible = {i: possible_views(model.camera(first), model.camera(i)) for i in waiting}
    others = [i for i in waiting if possible[i]]
    one_by_one = [[i] for i in others]
    # All at once first: cameras that are held hide what the others show.
    for group in [others, *one_by_one] if len(others) > 1 else one_by_one:
        if {view.camera_id for view in views} & set(group):
            continue
        joint, more = max(
            (
                (select_model(model, _together(freedoms, [*views, *more]), first_of_second), more)
                for more in product(*(possible[i] for i in group))
            ),
            key=lambda one: one[0].log_evidence,
        )
        gain = joint.log_evidence - best.log_evidence
        frees_more = bool(set(joint.accepted) - set(best.accepted))
        is_supported = gain > MIN_LOG_EVIDENCE or any(i in alone and alone[i].accepted for i in group)
        together = _together(freedoms, [*views, *more])
        if (
            joint.accepted
            and (is_supported or frees_more)
            and all(is_alike(model, together, view, joint, first_of_second) for view in more)
        ):
            views, best = [*views, *more], joint
    return views, best


def _of_each(
    joint: ModelSelection,
    freedoms: Mapping[int, Freedom],
    views: Sequence[LensView],
    num_images: Mapping[int, int],
) -> dict[int, ModelSelection]:
    """The selection of all cameras of a lens, for each of them."""
    return {
        camera_id: joint.of_camera(camera_id, num_images[camera_id], own)
        for camera_id, own in _together(freedoms, views).items()
    }


def _remaining(
    model: pycolmap.Reconstruction, lenses: Lenses, camera_ids: Set[int]
) -> Iterator[list[LensView]]:
    """Lenses that still have several of these cameras, with their present zoom."""
    for first, *others in lenses:
        views = [first]
        for view in others:
            if camera_ids >= {first.camera_id, view.camera_id}:
                focal, own = (model.camera(i).mean_focal_length() for i in (first.camera_id, view.camera_id))
                views.append(replace(view, zoom=own / (view.scale * focal)) if view.is_zoomed else view)
        if len(views) > 1:
            yield views


def is_alike(
    model: pycolmap.Reconstruction,
    together: Mapping[int, Freedom],
    view: LensView,
    joint: ModelSelection,
    first_of_second: Mapping[int, int] = NO_SECOND,
) -> bool:
    """Whether the observations support no values of its own for one of several cameras of a lens.

    Args:
        model: as for the selection.
        together: freedoms of all cameras of the lens.
        view: of the camera in question.
        joint: the selection of all; asked about are what was accepted, and the focal length if it is shared.
        first_of_second: as `Scene.first_of_second`.
    """
    first = joint.freedom
    accepted = [i for block in first.blocks if block.name in joint.accepted for i in block.columns]
    focal = () if view.is_zoomed else first.focal
    at = [*focal, *accepted]
    prior = first.prior[at]
    prior[: len(focal)] = (MAX_FOCAL_RATIO - 1) * first.camera.mean_focal_length()
    widened = {
        i: one.with_directions(
            [f"own {one.names[j]}" for j in at], one.directions[:, at] * (i == view.camera_id), prior
        )
        for i, one in together.items()
    }
    own = range(len(first.names), len(first.names) + len(at))
    return not supports(model, widened, own, accepted, first_of_second)


def _together(freedoms: Mapping[int, Freedom], views: Sequence[LensView]) -> dict[int, Freedom]:
    """Freedoms of the cameras of a lens in the directions of the first, and focal lengths of zoomed ones."""
    first = freedoms[views[0].camera_id]
    zoomed = [view.camera_id for view in views if view.is_zoomed]
    found = {}
    for view in views:
        own = freedoms[view.camera_id]
        focal = np.zeros((len(own.camera.params), len(zoomed)))
        if view.is_zoomed and first.focal:
            lengths = own.camera.focal_length_idxs()
            focal[lengths, zoomed.index(view.camera_id)] = 1.0
        shared = replace(
            first, camera=own.camera, directions=view.mapping(first.camera)[0] @ first.directions
        )
        names = [f"focal length of camera {camera_id}" for camera_id in zoomed]
        sigmas = np.full(len(zoomed), own.camera.mean_focal_length())
        wider = shared.with_directions(names, focal, sigmas)
        found[view.camera_id] = replace(wider, base=(*first.base, *range(len(first.names), len(wider.names))))
    return found


class _Tie(pyceres.CostFunction):  # type: ignore[misc]  # pyceres has no annotations
    """Parameters of a camera minus those that the first camera of its lens gives it, in some directions."""

    def __init__(self, by_own: Array, by_first: Array, offset: Array) -> None:
        super().__init__()
        self._by_own, self._by_first, self._offset = by_own, by_first, offset
        self.set_num_residuals(len(offset))
        self.set_parameter_block_sizes([by_first.shape[1], by_own.shape[1]])

    def Evaluate(
        self, parameters: Sequence[Array], residuals: Array, jacobians: Sequence[Array | None] | None
    ) -> bool:
        first, own = parameters
        residuals[:] = self._by_own @ own + self._by_first @ first + self._offset
        if jacobians is not None:
            for jacobian, values in zip(jacobians, (self._by_first, self._by_own), strict=True):
                if jacobian is not None:
                    jacobian[:] = values.ravel()
        return True


def tie(problem: pyceres.Problem, first: pycolmap.Camera, own: pycolmap.Camera, view: LensView) -> None:
    """Keep two cameras of one lens alike in an adjustment, if both are part of it and one can change.

    Of a zoomed camera the focal length stays free, and fx - fy as it is. Crops have principal points of their
    own, and focal lengths that differ as little as after a change of focus.
    """
    blocks = [first.params, own.params]
    # pyceres 2.6 crashes where a residual of Python's has constant parameters alone.
    if not all(map(problem.has_parameter_block, blocks)) or all(
        map(problem.is_parameter_block_constant, blocks)
    ):
        return
    directions = np.eye(len(own.params))
    sigma = _TIE * np.where(_are_lengths(own), own.mean_focal_length(), 1.0)
    if view.is_cropped:
        directions = np.delete(directions, list(own.principal_point_idxs()), axis=0)
        sigma[list(own.focal_length_idxs())] = (MAX_FOCAL_RATIO - 1) * own.mean_focal_length()
    if view.is_zoomed:
        focal = list(own.focal_length_idxs())
        between = directions[focal[:1]] - directions[focal[1:]]
        directions = np.vstack((np.delete(directions, focal, axis=0), between))
    matrix, offset = view.mapping(first)
    by_own = directions / (np.abs(directions) @ sigma)[:, None]
    problem.add_residual_block(_Tie(by_own, -by_own @ matrix, -by_own @ offset), None, blocks)


def _are_lengths(camera: pycolmap.Camera) -> npt.NDArray[np.bool_]:
    """Which parameters are in px, (P,)."""
    return np.array([name in ("f", "fx", "fy", "cx", "cy") for name in parameter_names(camera)])
