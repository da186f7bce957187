"""The choice of the backend of a run, and the message about it."""

from __future__ import annotations

import logging

from .backend import Backend, BackendContext

log = logging.getLogger(__name__)


def open_backend(context: BackendContext) -> Backend:
    """The backend that the configuration names; auto takes mast3r where its weights and a GPU are.

    Raises:
        WeightsError: mast3r is asked for and its weights are missing or unusable.
        MissingDependencyError: mast3r is asked to run on a device that this machine lacks.
    """
    if _wanted(context) == "mast3r":
        from sfm.matching.dense.backend import Mast3rBackend

        return Mast3rBackend.open(context)
    from sfm.matching.sift import SiftBackend

    return SiftBackend(context)


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
