"""The index on disk: a folder of files that are written once, and a list of those that count.

    index.json               options, and the names of the files below
    codebook-….safetensors   the visual words
    segment-….safetensors    images with their codes (see `segment.py`), mapped into memory, not read

Adding photos writes one new segment and the list. The list is replaced last and in one step, so that a folder
is at every moment what it was before or after.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kernels.values import Codes, Postings, Queries

from .asmk import code_bits, empty_codes, inverse_norms
from .codebook import Codebook
from .errors import RetrievalError
from .segment import MAX_POSTINGS, Segment
from .tensor_files import Array, expect, map_arrays, save_arrays

_KIND, _SEGMENT_KIND = "retrieval index", "retrieval index segment"
_VERSION = 2
_LIST = "index.json"
_SUFFIX = ".safetensors"
_OURS = re.compile(r"(?:codebook|segment)-[0-9a-f]{16}\.safetensors")


@dataclass(frozen=True, slots=True)
class AsmkOptions:
    """How images are described; equal for all images of an index."""

    multiple_assignment: int = 1
    """Words that a descriptor of a query counts for; images that are searched use one."""
    binary: bool = True
    alpha: float = 3.0
    """Selectivity: exponent of the similarity of two codes."""
    threshold: float = 0.0
    """Similarity of two codes below which they count for nothing."""


@dataclass(frozen=True, slots=True)
class FileNames:
    """Which files of a folder hold the codebook and the segments."""

    folder: Path
    codebook: str
    segments: Mapping[Segment, str]


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """What an index folder holds."""

    codebook: Codebook
    options: AsmkOptions
    source: str
    segments: tuple[Segment, ...]
    files: FileNames


def save(
    folder: Path,
    codebook: Codebook,
    options: AsmkOptions,
    source: str,
    segments: tuple[Segment, ...],
    known: FileNames | None,
) -> FileNames:
    """Write an index, except the files that are `known` to hold the codebook and some of the segments."""
    folder.mkdir(parents=True, exist_ok=True)
    codebook_file, written = _reusable(folder, known)
    if not codebook_file:
        codebook_file = _new_name("codebook")
        codebook.save(folder / codebook_file)
    files = {segment: written.get(segment) or _new_name("segment") for segment in segments}
    for segment in files.keys() - written.keys():
        _save_segment(folder / files[segment], segment, codebook_file)
    record = {
        "kind": _KIND,
        "version": _VERSION,
        "source": source,
        "options": asdict(options),
        "codebook": codebook_file,
        "segments": list(files.values()),
    }
    unfinished = folder / f"{_LIST}.{os.getpid()}.part"
    unfinished.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(unfinished, folder / _LIST)
    for path in folder.glob(f"*-*{_SUFFIX}"):
        # Others may keep files of this kind in the same folder: only names of ours are removed.
        if _OURS.fullmatch(path.name) and path.name != codebook_file and path.name not in files.values():
            with suppress(PermissionError):  # Windows keeps files that are mapped; the next save removes them
                path.unlink()
    return FileNames(folder, codebook_file, files)


def load(folder: Path) -> StoredIndex:
    """Open what `save` wrote; codes are mapped, and everything smaller is checked.

    Raises:
        RetrievalError: missing, damaged or foreign files, or parts that do not fit together.
    """
    record = _record(folder)
    codebook_file, segment_files = record["codebook"], record["segments"]
    codebook = Codebook.load(folder / codebook_file)
    options = AsmkOptions(**record["options"])
    segments = [_load_segment(folder / name, codebook, options, codebook_file) for name in segment_files]
    names = [name for segment in segments for name in segment.names]
    _check(folder, len(set(names)) == len(names))
    files = FileNames(folder, codebook_file, dict(zip(segments, segment_files, strict=True)))
    return StoredIndex(codebook, options, record["source"], tuple(segments), files)


def _reusable(folder: Path, known: FileNames | None) -> tuple[str, dict[Segment, str]]:
    """The codebook's file, empty when it must be written, and those of segments that are in the folder."""
    if known is None or known.folder != folder or not (folder / known.codebook).exists():
        return "", {}
    return known.codebook, {part: file for part, file in known.segments.items() if (folder / file).exists()}


def _new_name(part: str) -> str:
    return f"{part}-{secrets.token_hex(8)}{_SUFFIX}"


def _record(folder: Path) -> dict[str, Any]:
    path = folder / _LIST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RetrievalError(f"{path}: cannot be read as a {_KIND}: {error}") from error
    if not isinstance(record, dict) or record.get("kind") != _KIND:
        raise RetrievalError(f"{path}: holds something else, not a {_KIND}")
    if record.get("version") != _VERSION:
        raise RetrievalError(f"{path}: index of version {record.get('version')}, expected {_VERSION}")
    _check(path, _valid(record))
    return record


def _valid(record: Mapping[str, Any]) -> bool:
    options, files = record.get("options"), [record.get("codebook"), *_listed(record.get("segments"))]
    if not isinstance(options, dict):
        return False
    options = {"threshold": 0.0, **options}  # indices from before there was one have none
    if options.keys() != AsmkOptions.__dataclass_fields__.keys():
        return False
    count, binary = options["multiple_assignment"], options["binary"]
    alpha, threshold = options["alpha"], options["threshold"]
    numbers = isinstance(count, int) and count >= 1 and isinstance(binary, bool)
    powers = isinstance(alpha, float) and 0 < alpha < 100
    limits = isinstance(threshold, float) and 0 <= threshold <= 1
    # names of files in this folder, not paths to elsewhere
    plain = all(isinstance(name, str) and Path(name).name == name for name in files)
    return numbers and powers and limits and plain and isinstance(record.get("source"), str)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [None]


def _save_segment(path: Path, segment: Segment, codebook: str) -> None:
    base = segment.postings
    counts = np.diff(base.offsets)
    words = np.flatnonzero(counts)
    arrays: dict[str, Array] = {
        "words": words.astype(np.int32),
        "counts": counts[words].astype(np.int32),
        "images": base.images,
        "codes": _as_stored(base.codes),
        "offsets": segment.offsets,
        "rows": segment.rows,
    }
    if segment.asking is not None:
        arrays["asking_offsets"] = segment.asking.offsets
        arrays["asking_words"] = segment.asking.words
        arrays["asking_codes"] = segment.asking.codes
    save_arrays(path, arrays, _SEGMENT_KIND, {"names": json.dumps(segment.names), "codebook": codebook})


def _as_stored(codes: Codes) -> Codes:
    """The memory order in which codes are searched, as an array in C order."""
    return codes.T if codes.dtype == np.uint64 else codes


def _load_segment(path: Path, codebook: Codebook, options: AsmkOptions, codebook_file: str) -> Segment:
    arrays, metadata = map_arrays(path, _SEGMENT_KIND)
    names = _names(path, metadata)
    if metadata.get("codebook") != codebook_file:
        raise RetrievalError(f"{path}: belongs to another index; delete the folder and run again")
    like = empty_codes(0, codebook.dim, options.binary)
    words = cast(NDArray[np.int32], expect(path, arrays, "words", np.int32, 1))
    counts = cast(NDArray[np.int32], expect(path, arrays, "counts", np.int32, 1))
    images = cast(NDArray[np.int32], expect(path, arrays, "images", np.int32, 1))
    rows = cast(NDArray[np.int32], expect(path, arrays, "rows", np.int32, 1))
    codes = _as_stored(cast(Codes, expect(path, arrays, "codes", like.dtype.type, 2)))
    offsets = _row_offsets(path, arrays, "offsets", len(names))
    _check(path, len(words) == len(counts) and bool((np.diff(words) > 0).all()))
    _check(path, len(words) == 0 or (int(words[0]) >= 0 and int(words[-1]) < len(codebook)))
    _check(path, bool((counts > 0).all()) and int(counts.sum(dtype=np.int64)) == len(images) <= MAX_POSTINGS)
    _check(path, offsets[-1] == len(rows) == len(images) == len(codes) and codes.shape[1:] == like.shape[1:])
    all_counts = np.zeros(len(codebook), np.int64)
    all_counts[words] = counts
    blocks = np.concatenate([np.zeros(1, np.int64), np.cumsum(all_counts)])
    postings = Postings(blocks, images, codes, inverse_norms(np.diff(offsets)), code_bits(codebook.dim))
    asking = _asking(path, arrays, like, len(names)) if options.multiple_assignment > 1 else None
    return Segment(names, postings, offsets, rows, asking)


def _asking(path: Path, arrays: Mapping[str, Array], like: Codes, num_images: int) -> Queries:
    offsets = _row_offsets(path, arrays, "asking_offsets", num_images)
    words = cast(NDArray[np.int32], expect(path, arrays, "asking_words", np.int32, 1))
    codes = cast(Codes, expect(path, arrays, "asking_codes", like.dtype.type, 2))
    _check(path, offsets[-1] == len(words) == len(codes) and codes.shape[1:] == like.shape[1:])
    return Queries(offsets, words, codes)


def _row_offsets(path: Path, arrays: Mapping[str, Array], name: str, count: int) -> NDArray[np.int64]:
    offsets = cast(NDArray[np.int64], expect(path, arrays, name, np.int64, 1))
    _check(path, len(offsets) == count + 1 and offsets[0] == 0 and bool((np.diff(offsets) >= 0).all()))
    return offsets


def _names(path: Path, metadata: Mapping[str, str]) -> tuple[str, ...]:
    try:
        names = json.loads(metadata["names"])
    except (KeyError, ValueError, RecursionError) as error:
        raise RetrievalError(f"{path}: damaged names; delete the folder and run again") from error
    _check(path, isinstance(names, list) and all(isinstance(name, str) for name in names))
    return tuple(cast(list[str], names))


def _check(path: Path, fits: bool) -> None:
    if not fits:
        raise RetrievalError(f"{path}: parts of the index do not fit together; delete it and run again")
