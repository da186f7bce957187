"""COLMAP's log lines, which it writes to stderr itself: shown on request."""

from collections.abc import Iterator
from contextlib import contextmanager

_chosen = False


@contextmanager
def native_log(*, verbose: bool = False) -> Iterator[None]:
    """Show COLMAP's log lines when `verbose`, else only what ends the process; the outermost block decides.

    COLMAP logs outcomes as errors that are answers to us, such as that some images make no model.
    """
    global _chosen
    if _chosen:
        yield
        return
    import pycolmap

    before, _chosen = pycolmap.logging.minloglevel, True
    pycolmap.logging.minloglevel = 0 if verbose else pycolmap.logging.FATAL.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel, _chosen = before, False
