"""The codebook that goes with the retrieval head: a pickle, of which one array's bytes are read."""

from __future__ import annotations

import io
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.codebook import Codebook
from sfm.errors import WeightsError

from .foreign_files import require_pickle
from .pickle_size import RefusedPickleError, require_short, shown
from .stored_tensors import FETCH_AGAIN

_MAX_INSTRUCTIONS = 10_000
_MAX_WORDS, _MAX_DIM = 1 << 24, 16384


class _Described:
    """What a pickle says of an object of numpy's, which is not made."""

    said: tuple[object, ...] = ()

    def __init__(self, *arguments: object) -> None:
        self.said = arguments

    def __setstate__(self, state: object) -> None:
        self.said = (*self.said, state)


class _Array(_Described): ...


class _Buffer(_Described): ...


class _Type(_Described): ...


class _Text(_Described): ...


# numpy 1 and 2 differ in the name of the module, protocol 5 in the function.
_STANDS_FOR = {
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _Buffer for core in ("core", "_core")},
    "numpy.ndarray": _Described,
    "numpy.dtype": _Type,
    "_codecs.encode": _Text,
}


class _Unpickler(pickle._Unpickler):
    """Makes plain values and descriptions. The C version would allocate what a place in its memo claims."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _STANDS_FOR[f"{module}.{name}"]
        except KeyError:
            text = shown(f"{module}.{name}")
            raise RefusedPickleError(f"it refers to {text}, which weights have no use for") from None


def load_codebook(path: Path) -> Codebook:
    """The visual words of an official `..._retrieval_codebook.pkl`.

    It is a dict {"type": "Codebook", "params": {"size": K}, "state": {"centroids": (K, D) float32}}.

    Raises:
        WeightsError: missing, damaged, hostile, no codebook, or centroids that contradict its own figures.
    """
    require_pickle(path)
    try:
        pickled = io.BytesIO(path.read_bytes())
        require_short(pickled, _MAX_INSTRUCTIONS)
        content = _Unpickler(pickled).load()
        return Codebook(_centroids(content))
    except RefusedPickleError as error:
        raise WeightsError(
            f"{path}: refused as a codebook: {error}",
            hint=f"nothing of it was executed; do not trust this copy, and {FETCH_AGAIN}",
        ) from error
    except Exception as error:  # an unpickler raises whatever a damaged pickle leads it to
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
    if not isinstance(value, _Described):
        raise ValueError(f"centroids are {shown(value)}, expected a numpy array")
    match value, value.said:
        case _Array(), (_, _, _, (int(), tuple(shape), _Type() as dtype, bool(fortran), data)):
            return _from_bytes(_raw(data), _dtype(dtype), shape, "F" if fortran else "C")
        case _Buffer(), (data, _Type() as dtype, tuple(shape), "C" | "F" as order):
            return _from_bytes(_raw(data), _dtype(dtype), shape, str(order))
    raise ValueError("centroids are described in an unknown way")


def _from_bytes(
    data: bytes | bytearray, dtype: np.dtype[np.floating], shape: tuple[object, ...], order: str
) -> NDArray[np.floating]:
    sizes = [n for n in shape if isinstance(n, int) and n >= 0]
    if len(sizes) != len(shape) or len(sizes) > 2 or math.prod(sizes) * dtype.itemsize != len(data):
        raise ValueError("centroids have another number of bytes than their shape needs")
    return np.frombuffer(data, dtype).reshape(sizes, order="F" if order == "F" else "C")


def _dtype(value: _Type) -> np.dtype[np.floating]:
    """Type of the numbers, float32 or float64 and nothing else, objects least of all."""
    match value.said:
        case (("f4" | "f8") as kind, *_, (_, ("<" | ">") as order, *_)):
            return np.dtype(f"{order}{kind}")
    raise ValueError(f"centroids are of type {shown(value.said[0])}, expected float32 or float64")


def _raw(value: object) -> bytes | bytearray:
    """Bytes; protocol 2 has none and writes them as text, to be encoded as Latin-1."""
    match value:
        case bytes() | bytearray():
            return value
        case _Text(said=(str(text), "latin1")):
            return text.encode("latin1")
    raise ValueError(f"the bytes of the centroids are {shown(value)}")
