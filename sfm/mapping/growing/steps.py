"""Single steps on one model: which image comes next, and registering it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, dataclass, field

import pycolmap

from ..depth.lifting import lifted_pose
from ..depth.photo_depth import fit_to_points
from ..measures.agreement import agreement
from ..scene.journal import Journal
from ..scene.options import MapperOptions, two_view_triangulation
from ..scene.session import MapperSession
from .frames import triangulate_frame_mates

_RETRY_GROWTH = 1.1  # an image that failed is tried again once it sees this many times the points it saw then
_MIN_AGREEMENT = 0.5  # of the correspondences to registered images; asked of poses from thin evidence
_MAX_REGISTRATIONS = 3  # an image that keeps being filtered out again is given up
FIRM = 100
"""Number of points below which matches with a single other image are triangulated, too."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An image got a pose."""

    name: str
    how: str
    """pnp | lifted."""
    num_visible: int
    """Points of the model (pnp) or correspondences to its images (lifted) that the image sees."""
    num_inliers: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """No image that may be tried could be registered."""


@dataclass(slots=True)
class Attempts:
    """How often images were registered and what they saw when they last failed."""

    failed_at: dict[tuple[str, Method], int] = field(default_factory=dict)
    num_registrations: dict[str, int] = field(default_factory=dict)

    def may_try(self, name: str, method: Method, num_visible: int) -> bool:
        """False while nothing has changed since the last failure."""
        if self.num_registrations.get(name, 0) >= _MAX_REGISTRATIONS:
            return False
        return num_visible > _RETRY_GROWTH * self.failed_at.get((name, method), 0)

    def reset(self) -> None:
        """Let every image be tried again; for when all poses and points have moved."""
        self.failed_at.clear()


class Method(enum.Enum):
    """Ways to register an image."""

    PNP = "pnp"
    LIFTED = "lifted"
    """From points that depth lifts into the model; nothing where the scene has no depth."""
    LENIENT_PNP = "lenient pnp"

    @property
    def how(self) -> str:
        """The way in the words of the events."""
        return "pnp" if self is Method.LENIENT_PNP else self.value


def register_next(
    session: MapperSession,
    candidates: Set[str],
    attempts: Attempts,
    journal: Journal,
    methods: Sequence[Method],
) -> Registered | Stuck:
    """Register the most promising of `candidates` and triangulate from it (Schönberger & Frahm 2016, §4).

    All images are tried by the first method before any is tried by the next.
    """
    for name, method, num_visible in _next_images(session, candidates, attempts, methods):
        if why_not := _register(session, name, method):
            attempts.failed_at[name, method] = num_visible
            journal.note("rejected", name=name, num_visible=num_visible, why=why_not)
            continue
        attempts.num_registrations[name] = attempts.num_registrations.get(name, 0) + 1
        image_id = session.scene.id_of[name]
        num_inliers = session.reconstruction.image(image_id).num_points3D
        if method is not Method.LIFTED:
            session.mapper.triangulate_image(_triangulation(session.options, num_inliers), image_id)
        triangulate_frame_mates(session, name, journal)
        registered = Registered(name, method.how, num_visible, num_inliers)
        journal.note("registered", **asdict(registered), lenient=method is Method.LENIENT_PNP)
        return registered
    return Stuck()


def _triangulation(options: MapperOptions, num_inliers: int) -> pycolmap.IncrementalTriangulatorOptions:
    """How points are triangulated from the matches of an image with this many points."""
    return options.triangulation if num_inliers >= FIRM else two_view_triangulation(options)


_REJECTED = {
    Method.PNP: "too few of the visible points agree on one pose",
    Method.LIFTED: "too few points lifted by depth agree on one pose",
    Method.LENIENT_PNP: "few points are visible, and too few of them agree on one pose",
}
_CONTRADICTED = "the pose that was found contradicts most correspondences to registered photos"


def _next_images(
    session: MapperSession, candidates: Set[str], attempts: Attempts, methods: Sequence[Method]
) -> Iterator[tuple[str, Method, int]]:
    """Images to try as (name, method, number visible), best first; evaluated lazily as the model stands."""
    for method in methods:
        if method is Method.LIFTED:
            yield from _liftable(session, candidates, attempts)
            continue
        ids = session.mapper.find_next_images(_options(session, method), structure_less=False)
        for name in _by_agreement(session, [session.scene.name_of[i] for i in ids]):
            num_visible = session.observations.num_visible_points3D(session.scene.id_of[name])
            if name in candidates and attempts.may_try(name, method, num_visible):
                yield name, method, num_visible


def _liftable(
    session: MapperSession, candidates: Set[str], attempts: Attempts
) -> Iterator[tuple[str, Method, int]]:
    """Images that match registered ones but see few points, most matches first; none without depth."""
    if session.scene.depth is None:
        return
    graph, registered = session.scene.view_graph, session.registered
    count = {
        name: sum(graph.num_inliers(name, other) for other in graph.neighbours(name) if other in registered)
        for name in sorted(candidates - registered)
    }
    for name in _by_agreement(session, sorted(count, key=lambda name: -count[name])):
        if not count[name] or not _sees_few_points(session, name):
            continue
        if attempts.may_try(name, Method.LIFTED, count[name]):
            yield name, Method.LIFTED, count[name]


def _sees_few_points(session: MapperSession, name: str) -> bool:
    """Whether points may be missing; an image that sees many and fits none is only refused more slowly."""
    num_visible = session.observations.num_visible_points3D(session.scene.id_of[name])
    return bool(num_visible < 2 * session.options.mapper.abs_pose_min_num_inliers)


def _by_agreement(session: MapperSession, names: list[str]) -> list[str]:
    """COLMAP's order, but images with matches to only one registered image come last."""
    registered = session.registered
    needed = min(2, len(registered))
    graph = session.scene.view_graph
    return sorted(names, key=lambda name: graph.support(name, registered) < needed)


def _register(session: MapperSession, name: str, method: Method) -> str:
    """Why the image could not be registered; empty when it was."""
    if method is Method.LIFTED:
        return _lift(session, name)
    image_id = session.scene.id_of[name]
    if not session.mapper.register_next_image(_options(session, method), image_id):
        return _REJECTED[method]
    if method is not Method.PNP and agreement(session, name) < _MIN_AGREEMENT:
        session.observations.deregister_frame(session.reconstruction.image(image_id).frame_id)
        return _CONTRADICTED
    return ""


def _lift(session: MapperSession, name: str) -> str:
    """Why depth does not register the image; empty when it did."""
    found = lifted_pose(
        session, name, lambda other: fit_to_points(session.scene, session.reconstruction, other)
    )
    if found is None:
        return _REJECTED[Method.LIFTED]
    rec, image_id = session.reconstruction, session.scene.id_of[name]
    frame = rec.frame(rec.image(image_id).frame_id)
    frame.set_cam_from_world(rec.image(image_id).camera_id, found.cam_from_world)
    session.observations.register_frame(frame.frame_id)
    # Where no three images overlap, tracks of two are all there is.
    session.mapper.triangulate_image(two_view_triangulation(session.options), image_id)
    why_not = ""
    if rec.image(image_id).num_points3D < session.options.mapper.abs_pose_min_num_inliers:
        why_not = "too few of its matches can be triangulated"
    elif agreement(session, name) < _MIN_AGREEMENT:
        why_not = _CONTRADICTED
    if why_not:
        session.observations.deregister_frame(frame.frame_id)
    else:
        session.recount()
    return why_not


def _options(session: MapperSession, method: Method) -> pycolmap.IncrementalMapperOptions:
    return session.options.lenient if method is Method.LENIENT_PNP else session.options.mapper
