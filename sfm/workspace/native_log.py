"""Log lines of COLMAP and of the Ceres that pyceres brings, which write to stderr: shown on request."""

from collections.abc import Iterator
from contextlib import contextmanager

_chosen = False


@contextmanager
def native_log(*, verbose: bool = False) -> Iterator[None]:
    """Show these log lines when `verbose`, else only what ends the process; the outermost block decides.

    COLMAP logs outcomes as errors that are answers to us, such as that some images make no model.
    """
    global _chosen
    if _chosen:
        yield
        return
    import pyceres
    import pycolmap

    of_colmap, of_ceres, _chosen = pycolmap.logging.minloglevel, pyceres.logging.minloglevel, True
    pycolmap.logging.minloglevel = 0 if verbose else pycolmap.logging.FATAL.value
    pyceres.logging.minloglevel = 0 if verbose else pyceres.logging.FATAL.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel, pyceres.logging.minloglevel, _chosen = of_colmap, of_ceres, False
