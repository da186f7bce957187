"""Single steps on one model: register a photo, refine around it, refine everything."""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from .journal import Journal
from .session import MapperSession

_RETRY_GROWTH = 1.1  # a photo that failed is tried again once it sees this many times the points it saw then
_MAX_REGISTRATIONS = 3  # a photo that keeps being filtered out again is given up


@dataclass(frozen=True, slots=True)
class Registered:
    """A photo got a pose."""

    name: str
    how: str
    """pnp | structure_less."""
    num_visible: int
    """Points of the model (pnp) or correspondences to its photos (structure_less) that the photo sees."""
    num_inliers: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """No photo that may be tried could be registered."""

    num_tried: int


@dataclass(slots=True)
class Attempts:
    """How often photos were registered and what they saw when they last failed."""

    failed_at: dict[tuple[str, str], int] = field(default_factory=dict)
    num_registrations: dict[str, int] = field(default_factory=dict)

    def may_try(self, name: str, how: str, num_visible: int) -> bool:
        """False while nothing has changed since the last failure."""
        if self.num_registrations.get(name, 0) >= _MAX_REGISTRATIONS:
            return False
        return num_visible > _RETRY_GROWTH * self.failed_at.get((name, how), 0)

    def forgive(self) -> None:
        """Let every photo be tried again; for when all poses and points have moved."""
        self.failed_at.clear()


def register_next(
    session: MapperSession, candidates: Set[str], attempts: Attempts, journal: Journal
) -> Registered | Stuck:
    """Register the most promising of `candidates` and triangulate from it (Schönberger & Frahm 2016, §4).

    Photos are tried from 2D-3D matches first; where none registers so, from 2D-2D matches to posed photos.
    """
    num_tried = 0
    for name, how, num_visible in _next_photos(session, candidates, attempts):
        num_tried += 1
        image_id = session.scene.id_of[name]
        if _register(session, image_id, how):
            attempts.num_registrations[name] = attempts.num_registrations.get(name, 0) + 1
            num_inliers = session.reconstruction.image(image_id).num_points3D
            session.mapper.triangulate_image(session.options.triangulation, image_id)
            journal.note(
                "registered", name=name, how=how, num_visible=num_visible, num_inliers=num_inliers or None
            )
            return Registered(name, how, num_visible, num_inliers)
        attempts.failed_at[name, how] = num_visible
        journal.note("rejected", name=name, num_visible=num_visible, why=_REJECTED[how])
    return Stuck(num_tried)


_REJECTED = {
    "pnp": "too few of the visible points agree on one pose",
    "structure_less": "too few of the correspondences to registered photos agree on one pose",
}


def _next_photos(
    session: MapperSession, candidates: Set[str], attempts: Attempts
) -> Iterator[tuple[str, str, int]]:
    """Photos to try as (name, how, number visible), best first; evaluated lazily as the model stands."""
    fallback = session.options.pipeline.structure_less_registration_fallback
    count_visible = {
        "pnp": session.observations.num_visible_points3D,
        "structure_less": session.observations.num_visible_correspondences,
    }
    for how in ("pnp", "structure_less") if fallback else ("pnp",):
        ids = session.mapper.find_next_images(session.options.mapper, how == "structure_less")
        for name in _by_agreement(session, [session.scene.name_of[i] for i in ids]):
            num_visible = count_visible[how](session.scene.id_of[name])
            if name in candidates and attempts.may_try(name, how, num_visible):
                yield name, how, num_visible


def _by_agreement(session: MapperSession, names: list[str]) -> list[str]:
    """COLMAP's order, but photos that only one registered photo vouches for come after the others."""
    registered = session.registered
    needed = min(2, len(registered))
    graph = session.scene.view_graph
    return sorted(names, key=lambda name: graph.support(name, registered) < needed)


def _register(session: MapperSession, image_id: int, how: str) -> bool:
    if how == "pnp":
        return bool(session.mapper.register_next_image(session.options.mapper, image_id))
    return bool(session.mapper.register_next_structure_less_image(session.options.mapper, image_id))


def refine_local(session: MapperSession, name: str) -> None:
    """Adjust the photo just registered with those that share most points with it."""
    pipeline = session.options.pipeline
    session.mapper.iterative_local_refinement(
        pipeline.ba_local_max_refinements,
        pipeline.ba_local_max_refinement_change,
        session.options.mapper,
        session.options.local_ba,
        session.options.triangulation,
        session.scene.id_of[name],
    )


def refine_global(session: MapperSession, why: str, journal: Journal) -> None:
    """Complete, merge and retriangulate tracks, adjust everything, filter; repeated until little changes."""
    before, started = session.registered, time.monotonic()
    pipeline = session.options.pipeline
    session.mapper.iterative_global_refinement(
        pipeline.ba_global_max_refinements,
        pipeline.ba_global_max_refinement_change,
        session.options.mapper,
        session.options.global_ba,
        session.options.triangulation,
    )
    journal.note(
        "global_ba",
        why=why,
        num_images=session.num_registered,
        num_points=session.reconstruction.num_points3D(),
        seconds=round(time.monotonic() - started, 3),
    )
    for name in sorted(before - session.registered):
        journal.note("filtered", name=name, why="too few observations or implausible intrinsics")
