"""Which version of a kernel runs: the plain one, which defines it, or a fused or compiled one."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:  # kernels over numpy arrays do without it
    from torch import Tensor

Backend = Literal["torch", "triton"]

VARIABLE = "LOOPSFM_KERNELS"
"""Environment variable that forces a version, `torch` (kernels over arrays: numpy) or `triton` (numba)."""

log = logging.getLogger(__name__)
_asked: ContextVar[Backend | None] = ContextVar("_asked", default=None)


@contextmanager
def use_backend(backend: Backend) -> Iterator[None]:
    """Force a version of every kernel called inside, against the environment; for tests and benchmarks."""
    token = _asked.set(_known(backend))
    try:
        yield
    finally:
        _asked.reset(token)


def backend_for(x: Tensor) -> Backend:
    """The version that runs for a tensor: as forced, else Triton on CUDA where it is installed, else torch.

    Raises:
        ValueError: the environment variable has another value than `torch` or `triton`.
        RuntimeError: Triton is forced, but isn't installed, or cannot run where `x` is.
    """
    forced = _asked.get() or _known(os.environ.get(VARIABLE) or None)
    if forced == "triton":
        _require_triton(x)
        return forced
    if forced or not x.is_cuda:
        return "torch"
    return "triton" if _triton_or_say_so() else "torch"


def compiles(worth_it: bool) -> bool:
    """Whether a kernel over numpy arrays runs compiled by numba: as forced, else where it is worth it.

    Raises:
        ValueError: the environment variable has another value than `torch` or `triton`.
    """
    forced = _asked.get() or _known(os.environ.get(VARIABLE) or None)
    return forced != "torch" and (worth_it or forced == "triton") and has_numba()


@functools.cache
def has_numba() -> bool:
    """Whether numba can be imported, which this does; the log has the reason where it cannot."""
    try:
        importlib.import_module("numba")
    except ImportError as error:
        log.info("numba cannot be used: ASMK scoring is three to twelve times slower (%s)", error)
        return False
    return True


def cuda_has_room(num_bytes: int) -> bool:
    """Whether torch is imported already and has a CUDA device with so much free memory.

    The plain versions, if forced, run on the CPU.
    """
    forced = _asked.get() or _known(os.environ.get(VARIABLE) or None)
    torch = sys.modules.get("torch")
    if forced == "torch" or torch is None or not torch.cuda.is_available():
        return False
    return bool(torch.cuda.mem_get_info()[0] >= num_bytes)


@functools.cache
def has_triton() -> bool:
    """Whether Triton is installed; it isn't imported."""
    return importlib.util.find_spec("triton") is not None


def interprets() -> bool:
    """Whether Triton's kernels run in its interpreter, without a GPU; decided before its first import."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@functools.cache
def _triton_or_say_so() -> bool:
    """Whether Triton is installed; where it isn't, one line in the log."""
    if not has_triton():
        log.info("triton is not installed: kernels run in plain torch, which is slower on a GPU")
    return has_triton()


def _known(name: str | None) -> Backend | None:
    if name == "torch" or name == "triton" or name is None:
        return cast("Backend | None", name)
    raise ValueError(f"kernels: no version {name!r}; {VARIABLE} is torch or triton")


def _require_triton(x: Tensor) -> None:
    if not has_triton():
        raise RuntimeError(
            "kernels: triton was asked for and is not installed: pip install 'loopsfm[kernels]'"
        )
    if not x.is_cuda and not interprets():
        raise RuntimeError(
            f"kernels: triton was asked for and cannot run on {x.device}; "
            "set TRITON_INTERPRET=1 before the start to interpret its kernels"
        )
