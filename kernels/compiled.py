"""How kernels are compiled by numba; imported where one runs."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(fastmath: bool | set[str] = False) -> Callable[[F], F]:
    """Compile without the interpreter's lock; keep the result on disk where a place can be written to."""

    def decorate(function: F) -> F:
        try:
            return cast(F, njit(nogil=True, cache=True, fastmath=fastmath)(function))
        except RuntimeError:  # numba found no folder for its cache
            return cast(F, njit(nogil=True, fastmath=fastmath)(function))

    return decorate
