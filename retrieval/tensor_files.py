"""Named arrays in one safetensors file: read or mapped with every check, written all or nothing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .errors import RetrievalError

Array = NDArray[np.generic]

_TYPES = {"I32": np.int32, "I64": np.int64, "U64": np.uint64, "F32": np.float32}
"""What we write; other types are of no use to us."""


def save_arrays(path: Path, arrays: Mapping[str, Array], kind: str, metadata: Mapping[str, str]) -> None:
    """Write `arrays` to `path`, replacing it in one step; `kind` marks our files."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        save_file(contiguous, unfinished, {**metadata, "kind": kind})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_arrays(path: Path, kind: str) -> tuple[dict[str, Array], dict[str, str]]:
    """As `map_arrays`, copied into memory."""
    mapped, metadata = map_arrays(path, kind)
    return {name: array.copy() for name, array in mapped.items()}, metadata


def map_arrays(path: Path, kind: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays, in the file and read where they are used, and metadata of a file of `save_arrays`.

    Arrays of types that `save_arrays` is not given here are passed over.

    Raises:
        RetrievalError: no such file, no safetensors, damaged, or of another kind.
    """
    try:
        # The library checks the header: sizes, gaps and overlaps of arrays, and the length of the file.
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
        if metadata.get("kind") != kind:
            raise RetrievalError(f"{path}: holds {metadata.get('kind', 'something else')}, not a {kind}")
        content = np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    except (OSError, ValueError, SafetensorError) as error:
        raise RetrievalError(f"{path}: cannot be read as a {kind}: {error}") from error
    begin = 8 + int(content[:8].view("<u8")[0])
    header: dict[str, Any] = json.loads(content[8:begin].tobytes())
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    arrays: dict[str, Array] = {}
    for name, entry in entries.items():
        if entry["dtype"] in _TYPES:
            first, last = (begin + end for end in entry["data_offsets"])
            array = content[first:last].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
            arrays[name] = array if array.flags.aligned else array.copy()
    return arrays, metadata


def expect(path: Path, arrays: Mapping[str, Array], name: str, dtype: type[np.generic], ndim: int) -> Array:
    """The array called `name`, which must have this type and number of dimensions.

    Raises:
        RetrievalError: absent or different.
    """
    array = arrays.get(name)
    if array is None:
        raise RetrievalError(f"{path}: has no array {name!r} that can be used; delete it and run again")
    if array.dtype != dtype or array.ndim != ndim:
        raise RetrievalError(
            f"{path}: {name!r} is {array.dtype} with {array.ndim} dimensions, "
            f"expected {np.dtype(dtype)} with {ndim}; delete it and run again"
        )
    return array
