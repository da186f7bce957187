"""Growing one model until no image can be added."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from ..scene.journal import Journal
from ..scene.session import MapperSession
from .bundle_adjustment import refine_growing, refine_local
from .frames import frame_mates
from .steps import FIRM, Attempts, Method, Stuck, register_next

_LOCAL_EVERY = 8
"""Of images with many points, only every eighth gets a local adjustment, since one of all follows soon.
Images with few points get one at once."""
_SMALL = 10
"""In a model of fewer images, each one counts."""
_FEW, _FEW_RATIO = 40, 1.3
"""Largest number of images up to which each small growth is adjusted."""
_SETTLED = 1.15
"""Growth since the last adjustment, below which a complete model is not adjusted again."""


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
    methods: Sequence[Method] = (Method.PNP, Method.LIFTED),
    on_registered: Callable[[str], None],
) -> None:
    """Register images of `candidates` one after the other, adjusting locally each time and globally when due.

    A global adjustment is due when images or points have grown by the configured ratio. It is due, too, when
    nothing can be registered, since better poses often allow images that failed before. The result can be
    compared with other models; the one that is kept needs a full adjustment.
    """
    attempts = Attempts()
    safe = [method for method in methods if method is Method.PNP]
    resorts = [method for method in methods if method is not Method.PNP] + [Method.LENIENT_PNP]
    refined, num_firm, can_adjust = _Size.of(session), 0, True
    while max_images is None or session.num_registered < max_images:
        outcome = register_next(session, candidates, attempts, journal, safe)
        why = "grown"
        if isinstance(outcome, Stuck) and candidates <= session.registered:
            break
        if isinstance(outcome, Stuck) and can_adjust and refined != _Size.of(session):
            refine_growing(session, "stuck", journal)
            # Once for each image that came: a refused one may take points with it, which the next adjustment
            # would find again, and so forth.
            refined, can_adjust = _Size.of(session), False
            attempts.reset()
            continue
        if isinstance(outcome, Stuck):
            outcome = register_next(session, candidates, attempts, journal, resorts)
            why = "check"
        if isinstance(outcome, Stuck):
            return
        can_adjust = True
        for name in (outcome.name, *frame_mates(session, outcome.name)):
            on_registered(name)
        due = why == "check" or _has_grown(session, refined)
        firm = outcome.num_inliers >= FIRM
        num_firm += firm
        small = session.num_registered < _SMALL
        if not firm or (not due and (small or num_firm % _LOCAL_EVERY == 0)):
            refine_local(session, outcome.name)
        if due:
            refine_growing(session, why, journal)
            refined = _Size.of(session)
    if session.num_registered >= _SETTLED * refined.num_images:
        refine_growing(session, "enough", journal)


def _has_grown(session: MapperSession, since: _Size) -> bool:
    """By the configured ratio since the last global adjustment; by less while images are few."""
    ratio, now = session.options.growth_ratio, _Size.of(session)
    if now.num_images <= _FEW:
        ratio = min(ratio, _FEW_RATIO)
    return now.num_images >= ratio * since.num_images or now.num_points >= ratio * since.num_points
