"""Growing one model until no photo can be added."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from .journal import Journal
from .session import MapperSession
from .steps import Attempts, Method, Stuck, refine_global, refine_local, register_next

# A photo held by fewer points is settled among its neighbours, with a robust loss, before all are adjusted.
_FIRM = 100


@dataclass(frozen=True, slots=True)
class _Size:
    num_images: int
    num_points: int

    @classmethod
    def of(cls, session: MapperSession) -> _Size:
        return cls(session.num_registered, session.reconstruction.num_points3D())


def grow(
    session: MapperSession,
    candidates: Set[str],
    journal: Journal,
    *,
    max_images: int | None = None,
    methods: Sequence[Method] = (Method.PNP, Method.STRUCTURE_LESS, Method.LIFTED),
    on_registered: Callable[[str], None],
) -> None:
    """Register photos of `candidates` one after the other, adjusting locally each time and globally when due.

    A global adjustment is due when photos or points have grown by the configured ratio, and when nothing can
    be registered: better poses often let in photos that failed before. The model is left globally adjusted.
    """
    attempts = Attempts()
    safe = [method for method in methods if method is not Method.LIFTED]
    resorts = [method for method in methods if method is Method.LIFTED] + [Method.LENIENT_PNP]
    refined = _Size.of(session)
    while max_images is None or session.num_registered < max_images:
        outcome = register_next(session, candidates, attempts, journal, safe)
        why = "grown"
        if isinstance(outcome, Stuck) and refined != _Size.of(session):
            refine_global(session, "stuck", journal)
            refined = _Size.of(session)
            attempts.forgive()
            continue
        if isinstance(outcome, Stuck):
            outcome = register_next(session, candidates, attempts, journal, resorts)
            why = "check"
        if isinstance(outcome, Stuck):
            return
        on_registered(outcome.name)
        uncertain = why == "check" or outcome.how == Method.STRUCTURE_LESS.how
        due = uncertain or _has_grown(session, refined)
        if not due or outcome.num_inliers < _FIRM:
            refine_local(session, outcome.name)
        if due:
            refine_global(session, why, journal)
            refined = _Size.of(session)
    if refined != _Size.of(session):
        refine_global(session, "enough", journal)


def _has_grown(session: MapperSession, since: _Size) -> bool:
    """As COLMAP: by the ratios, or by its absolute steps, since the last global adjustment."""
    pipeline, now = session.options.pipeline, _Size.of(session)
    return (
        now.num_images >= pipeline.ba_global_frames_ratio * since.num_images
        or now.num_images >= pipeline.ba_global_frames_freq + since.num_images
        or now.num_points >= pipeline.ba_global_points_ratio * since.num_points
        or now.num_points >= pipeline.ba_global_points_freq + since.num_points
    )
