"""Named arrays in one safetensors file: read with every check, written all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from .errors import RetrievalError

Array = NDArray[np.generic]


def save_arrays(path: Path, arrays: Mapping[str, Array], kind: str, metadata: Mapping[str, str]) -> None:
    """Write `arrays` to `path`, replacing it in one step; `kind` tells our files from others'."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        save_file(contiguous, unfinished, {**metadata, "kind": kind})
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_arrays(path: Path, kind: str) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of a file that `save_arrays` wrote with the same `kind`.

    Raises:
        RetrievalError: no such file, no safetensors, damaged, or of another kind.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            if metadata.get("kind") != kind:
                raise RetrievalError(f"{path}: holds {metadata.get('kind', 'something else')}, not a {kind}")
            return {name: file.get_tensor(name) for name in list(file.keys())}, metadata
    except (OSError, SafetensorError) as error:
        raise RetrievalError(f"{path}: cannot be read as a {kind}: {error}") from error


def expect(path: Path, arrays: Mapping[str, Array], name: str, dtype: type[np.generic], ndim: int) -> Array:
    """The array called `name`, which must have this type and number of dimensions.

    Raises:
        RetrievalError: absent or different.
    """
    array = arrays.get(name)
    if array is None:
        raise RetrievalError(f"{path}: has no array {name!r}; delete the file and run again")
    if array.dtype != dtype or array.ndim != ndim:
        raise RetrievalError(
            f"{path}: {name!r} is {array.dtype} with {array.ndim} dimensions, "
            f"expected {np.dtype(dtype)} with {ndim}; delete the file and run again"
        )
    return array
