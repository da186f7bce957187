"""The choice of the backend of a run, and the message about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from .aliked.weights import is_installed
from .backend import Backend, BackendContext

log = logging.getLogger(__name__)


def open_backend(context: BackendContext) -> Backend:
    """The backend that the configuration names; auto takes mast3r where its weights and a GPU are.

    Raises:
        WeightsError: weights that the backend needs are missing or unusable.
        MissingDependencyError: a package or device that the backend needs is missing.
    """
    return MATCHERS[_wanted(context)](context)


def _sift(context: BackendContext) -> Backend:
    from sfm.matching.sift import SiftBackend

    if context.config.backend == "auto" and is_installed():
        from sfm.matching.aliked.again import AlikedAgain

        return SiftBackend(context, stronger=AlikedAgain(context))
    return SiftBackend(context)


def _mast3r(context: BackendContext) -> Backend:
    from sfm.matching.dense.backend import Mast3rBackend

    return Mast3rBackend.open(context)


def _aliked(context: BackendContext) -> Backend:
    from sfm.matching.aliked.backend import AlikedBackend

    return AlikedBackend.open(context)


MATCHERS: Mapping[str, Callable[[BackendContext], Backend]] = {
    "sift": _sift,
    "aliked": _aliked,
    "mast3r": _mast3r,
}
"""What opens each backend that `Config.backend` can name."""


def _wanted(context: BackendContext) -> str:
    config = context.config
    if config.backend != "auto":
        return config.backend
    from sfm.matching.dense.availability import why_not

    if missing := why_not(config.mast3r):
        log.info("backend sift (mast3r: %s)", missing)
        return "sift"
    log.info("backend mast3r")
    return "mast3r"
