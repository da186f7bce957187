"""The codebook that goes with the retrieval head: a pickle, of which one array's bytes are read."""

import functools
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

from .foreign_files import FETCH_AGAIN, PICKLE, printable, require
from .torch_file import RefusedPickleError, refused, require_short

_MAX_INSTRUCTIONS = 10_000
_MAX_WORDS, _MAX_DIM = 1 << 24, 16384


class _Described:
    """What a pickle says of an object of numpy's, which is not made."""

    def __init__(self, *said: object) -> None:
        self.said = said

    def __setstate__(self, state: object) -> None:
        self.said = (*self.said, state)


# numpy 1 and 2 differ in the name of the module, protocol 5 in the function.
_NAMES = re.compile(
    r"numpy\._?core\.(multiarray\._reconstruct|numeric\._frombuffer)|numpy\.(ndarray|dtype)|_codecs\.encode"
)


class _Unpickler(pickle._Unpickler):
    """Makes plain values and descriptions. The C version would allocate what a place in its memo claims."""

    def find_class(self, module: str, name: str) -> Any:
        if _NAMES.fullmatch(f"{module}.{name}"):
            return functools.partial(_Described, name)
        what = printable(f"{module}.{name}")
        raise RefusedPickleError(f"it refers to {what}, which weights have no use for")


def load_codebook(path: Path) -> Codebook:
    """The visual words of an official `..._retrieval_codebook.pkl`.

    It is a dict {"type": "Codebook", "params": {"size": K}, "state": {"centroids": (K, D) float32}}.

    Raises:
        WeightsError: missing, damaged, hostile, no codebook, or centroids that contradict its own figures.
    """
    require(path, PICKLE)
    try:
        pickled = path.read_bytes()
        require_short(pickled, _MAX_INSTRUCTIONS)
        return Codebook(_centroids(_Unpickler(io.BytesIO(pickled)).load()))
    except RefusedPickleError as error:
        raise refused(path, str(error)) from error
    except Exception as error:  # an unpickler raises whatever a damaged pickle leads it to
        raise WeightsError(f"{path}: not a usable codebook: {printable(error)}", hint=FETCH_AGAIN) from error


def num_words(value: object) -> int:
    """Number of words from a number or text such as "64k" or "1M".

    Raises:
        ValueError: it is neither.
    """
    found = re.fullmatch(r"(\d{1,8})([kM]?)", value, re.ASCII) if isinstance(value, str) else None
    count = int(found[1]) << {"": 0, "k": 10, "M": 20}[found[2]] if found else value
    if isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= _MAX_WORDS:
        return count
    raise ValueError(f"{printable(value)} is no number of words")


def _centroids(content: object) -> NDArray[np.float32]:
    match content:
        case {"type": "Codebook", "params": {"size": size}, "state": {"centroids": _Described() as said}}:
            array, count = _array(said), num_words(size)
        case _:
            raise ValueError("not a Codebook with params.size and an array state.centroids")
    if array.ndim != 2 or len(array) != count or not 1 <= array.shape[1] <= _MAX_DIM:
        raise ValueError(f"centroids have shape {array.shape}, params.size is {count}")
    with np.errstate(over="ignore"):  # becomes infinity, which is refused
        return np.ascontiguousarray(array, np.float32)


def _array(described: _Described) -> NDArray[np.floating]:
    """The array that numpy's own functions would make; it lies over the bytes of the pickle.

    Its numbers are float32 or float64 and nothing else, objects least of all.
    """
    match described.said:
        case ("_reconstruct", *_, (int(), tuple(shape), _Described() as dtype, bool(by_columns), data)):
            order = "F" if by_columns else "C"
        case ("_frombuffer", data, _Described() as dtype, tuple(shape), "C" | "F" as order):
            ...
        case _:
            raise ValueError("centroids are described in an unknown way")
    match dtype.said:
        case ("dtype", "f4" | "f8" as kind, *_, (_, "<" | ">" as end, *_)):
            numbers = np.dtype(f"{end}{kind}")
        case _:
            raise ValueError(f"centroids are of type {printable(dtype.said[1])}, expected float32 or float64")
    match data:  # protocol 2 has no bytes and writes them as text
        case _Described(said=("encode", str(text), "latin1")):
            data = text.encode("latin1")
    sizes = [n for n in shape if isinstance(n, int) and n >= 0]
    if not isinstance(data, bytes | bytearray) or len(sizes) != len(shape) or len(sizes) > 2:
        raise ValueError("the bytes of the centroids are no bytes, or their shape is none")
    if math.prod(sizes) * numbers.itemsize != len(data):
        raise ValueError("centroids have another number of bytes than their shape needs")
    return np.frombuffer(data, numbers).reshape(sizes, order="F" if order == "F" else "C")
