"""The codebook that goes with the retrieval head: a pickle of one numpy array, read as data."""

from __future__ import annotations

import math
import mmap
import re
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from retrieval.codebook import Codebook
from retrieval.errors import RetrievalError
from sfm.errors import WeightsError

from .foreign_files import require_pickle
from .pickle_reader import Described, GlobalName, RefusedPickleError, read_pickle, shown
from .stored_tensors import FETCH_AGAIN

_MAX_OPCODES = 10_000
_MAX_WORDS, _MAX_DIM = 1 << 24, 16384

# numpy 1 and 2 differ in the name of the module, protocol 5 in the function.
_RECONSTRUCT = frozenset(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core"))
_FROM_BUFFER = frozenset(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core"))
_ALLOWED = _RECONSTRUCT | _FROM_BUFFER | {"numpy.ndarray", "numpy.dtype", "_codecs.encode"}


def load_codebook(path: Path) -> Codebook:
    """The visual words of an official `..._retrieval_codebook.pkl`.

    It is a dict {"type": "Codebook", "params": {"size": K}, "state": {"centroids": (K, D) float32}}.

    Raises:
        WeightsError: missing, damaged, hostile, no codebook, or centroids that contradict its own figures.
    """
    require_pickle(path)
    try:
        # As memory, because reading a claimed length from a file would allocate it before looking.
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as source:
            content = read_pickle(cast(IO[bytes], source), allowed=_ALLOWED, max_opcodes=_MAX_OPCODES)
        return Codebook(_centroids(content))
    except RefusedPickleError as error:
        raise WeightsError(
            f"{path}: refused as a codebook: {error}",
            hint=f"nothing of it was executed; do not trust this copy, and {FETCH_AGAIN}",
        ) from error
    except (OSError, ValueError, TypeError, OverflowError, RetrievalError) as error:
        raise WeightsError(f"{path}: not a usable codebook: {shown(error)}", hint=FETCH_AGAIN) from error


def num_words(value: object) -> int | None:
    """Number of words from a number or text such as "64k" or "1M"; None if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_WORDS:
        return value
    found = re.fullmatch(r"(\d{1,8})([kM]?)", value, re.ASCII) if isinstance(value, str) else None
    count = int(found[1]) * {"": 1, "k": 1 << 10, "M": 1 << 20}[found[2]] if found else 0
    return count if 1 <= count <= _MAX_WORDS else None


def _centroids(content: object) -> NDArray[np.float32]:
    if not isinstance(content, dict) or content.get("type") != "Codebook":
        raise ValueError("its type is not Codebook")
    params, state = content.get("params"), content.get("state")
    size = num_words(params.get("size")) if isinstance(params, dict) else None
    if size is None:
        raise ValueError("params.size is no number of words")
    array = _array(state.get("centroids") if isinstance(state, dict) else None)
    if array.ndim != 2 or len(array) != size or not 1 <= array.shape[1] <= _MAX_DIM:
        raise ValueError(f"centroids have shape {array.shape}, params.size is {size}")
    with np.errstate(over="ignore"):  # becomes infinity, which is refused
        return np.ascontiguousarray(array, np.float32)


def _array(value: object) -> NDArray[np.floating]:
    """The array that numpy's own functions would make; it lies over the bytes of the pickle."""
    if not isinstance(value, Described):
        raise ValueError(f"centroids are {shown(value)}, expected a numpy array")
    if value.maker in _RECONSTRUCT and value.arguments[:1] == (GlobalName("numpy.ndarray"),):
        match value.state:
            case (int(), tuple(shape), Described() as dtype, bool(fortran), data):
                return _from_bytes(_raw(data), _dtype(dtype), shape, "F" if fortran else "C")
    if value.maker in _FROM_BUFFER:
        match value.arguments:
            case (data, Described() as dtype, tuple(shape), "C" | "F" as order):
                return _from_bytes(_raw(data), _dtype(dtype), shape, order)
    raise ValueError("centroids are described in an unknown way")


def _from_bytes(
    data: bytes | bytearray, dtype: np.dtype[np.floating], shape: tuple[object, ...], order: str
) -> NDArray[np.floating]:
    sizes = [n for n in shape if isinstance(n, int) and n >= 0]
    if len(sizes) != len(shape) or len(sizes) > 2 or math.prod(sizes) * dtype.itemsize != len(data):
        raise ValueError("centroids have another number of bytes than their shape needs")
    return np.frombuffer(data, dtype).reshape(sizes, order="F" if order == "F" else "C")


def _dtype(value: Described) -> np.dtype[np.floating]:
    """Type of the numbers, float32 or float64 and nothing else, objects least of all."""
    kind = value.arguments[0] if value.maker == "numpy.dtype" and value.arguments else None
    order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else None
    if kind not in ("f4", "f8") or order not in ("<", ">"):
        raise ValueError(f"centroids are of type {shown(kind)}, expected float32 or float64")
    return np.dtype(f"{order}{kind}")


def _raw(value: object) -> bytes | bytearray:
    """Bytes; protocol 2 has none and writes them as text, to be encoded as Latin-1."""
    if isinstance(value, Described) and value.maker == "_codecs.encode":
        match value.arguments:
            case (str(text), "latin1"):
                return text.encode("latin1")
    if not isinstance(value, bytes | bytearray):
        raise ValueError(f"the bytes of the centroids are {shown(value)}")
    return value
