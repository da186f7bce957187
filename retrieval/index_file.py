"""The index on disk: one safetensors file with everything needed to query and to append."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kernels.asmk import Codes, Postings, Queries

from .asmk import code_bits, empty_codes, inverse_norms, laid_out
from .codebook import Codebook, codebook_from
from .errors import RetrievalError
from .tensor_files import Array, expect, load_arrays, save_arrays

_KIND = "retrieval index"
_VERSION = 1
_OPTIONS = {"multiple_assignment", "binary", "alpha"}


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """What an index file holds."""

    codebook: Codebook
    names: tuple[str, ...]
    postings: Postings
    queries: Queries
    options: dict[str, Any]


def save(
    path: Path,
    codebook: Codebook,
    names: tuple[str, ...],
    postings: Postings,
    queries: Queries,
    options: Mapping[str, Any],
) -> None:
    """Write the parts of an index, all or nothing."""
    arrays: dict[str, Array] = {
        "centroids": codebook.centroids,
        "posting_offsets": postings.offsets,
        "posting_images": postings.images,
        "posting_codes": postings.codes,
        "query_offsets": queries.offsets,
        "query_words": queries.words,
        "query_codes": queries.codes,
    }
    header = {"version": _VERSION, "names": names, "options": dict(options)}
    save_arrays(path, arrays, _KIND, {"header": json.dumps(header)})


def load(path: Path) -> StoredIndex:
    """Read and check what `save` wrote.

    Raises:
        RetrievalError: missing, damaged or foreign file, or parts that do not fit together.
    """
    arrays, metadata = load_arrays(path, _KIND)
    header = _header(path, metadata)
    codebook = codebook_from(path, arrays)
    names, options = tuple(header["names"]), header["options"]
    like = empty_codes(codebook.dim, options["binary"])
    posting_offsets, posting_images, posting_codes = _rows(path, arrays, "posting", "images", like)
    query_offsets, query_words, query_codes = _rows(path, arrays, "query", "words", like)
    _check(path, len(posting_offsets) == len(codebook) + 1 and len(query_offsets) == len(names) + 1)
    _check(path, _within(posting_images, len(names)) and _within(query_words, len(codebook)))
    norms = inverse_norms(np.bincount(posting_images, minlength=len(names)))
    bits = code_bits(codebook.dim)
    postings = Postings(posting_offsets, posting_images, laid_out(posting_codes), norms, bits)
    return StoredIndex(codebook, names, postings, Queries(query_offsets, query_words, query_codes), options)


def _header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        header = cast(dict[str, Any], json.loads(metadata["header"]))
        complete = "names" in header and header["options"].keys() == _OPTIONS
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise RetrievalError(f"{path}: damaged header; delete the file and run again") from error
    if header.get("version") != _VERSION:
        raise RetrievalError(f"{path}: index of version {header.get('version')}, expected {_VERSION}")
    _check(path, complete and _valid(header["names"], header["options"]))
    return header


def _valid(names: object, options: Mapping[str, object]) -> bool:
    """Whether names are different strings and options have the right types."""
    count, binary, alpha = options["multiple_assignment"], options["binary"], options["alpha"]
    numbers = isinstance(count, int) and count >= 1 and isinstance(binary, bool) and isinstance(alpha, float)
    texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return numbers and texts and len(set(cast(list[str], names))) == len(cast(list[str], names))


def _rows(
    path: Path, arrays: Mapping[str, Array], prefix: str, labels: str, like: Codes
) -> tuple[NDArray[np.int64], NDArray[np.int32], Codes]:
    offsets = cast(NDArray[np.int64], expect(path, arrays, f"{prefix}_offsets", np.int64, 1))
    owners = cast(NDArray[np.int32], expect(path, arrays, f"{prefix}_{labels}", np.int32, 1))
    codes = cast(Codes, expect(path, arrays, f"{prefix}_codes", like.dtype.type, 2))
    _check(path, len(offsets) > 0 and offsets[0] == 0 and bool((np.diff(offsets) >= 0).all()))
    _check(path, offsets[-1] == len(owners) == len(codes) and codes.shape[1:] == like.shape[1:])
    return offsets, owners, codes


def _within(values: NDArray[np.int32], limit: int) -> bool:
    return len(values) == 0 or bool(values.min() >= 0 and values.max() < limit)


def _check(path: Path, fits: bool) -> None:
    if not fits:
        raise RetrievalError(f"{path}: parts of the index do not fit together; delete the file and run again")
