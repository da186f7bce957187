"""Results of pair inference on disk, in segments of up to a few hundred pairs; none is computed twice.

A million pairs as a million files would be a fault of its own. Each flush writes one small segment; once
there are many of them they are joined to a large one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from sfm.files.atomic import atomic_write_bytes
from sfm.mast3r.values import DenseMatches, ViewDepth
from sfm.untrusted.documents import fits, parsed_json

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Content of the first and of the second photo."""

_MAX_SMALL_SEGMENTS = 8
_SMALL = 64
_LARGE = 512


@dataclass(frozen=True, slots=True)
class PairResult:
    """What inference found out about one pair."""

    matches: DenseMatches
    """Empty for pairs that were refused or failed."""
    why: str = ""
    """Why there are no matches, in words for the user; empty when there are."""
    depth_a: ViewDepth | None = None
    depth_b: ViewDepth | None = None
    failed: bool = False
    """Whether `why` lies with the run and not with the photos; such a result is not kept."""


@dataclass(frozen=True, slots=True)
class _Place:
    segment: Path
    index: int


class PairStore:
    """Pair results by content of both photos.

    Args:
        folder: names everything that results depend on besides the two photos.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[Key, _Place] = {}
        self._counts: dict[Path, int] = {}
        self._depths: dict[Key, tuple[str, ...]] = {}
        self._whys: dict[Key, str] = {}
        for path in sorted(folder.glob("segment_*.safetensors")):
            self._add_segment(path)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: Key) -> PairResult:
        """The result of a pair; KeyError where it was never computed."""
        place = self._places[key]
        with safe_open(place.segment, framework="numpy") as file:
            return _read(file, place.index)

    def why(self, key: Key) -> str:
        """Why a pair has no matches; empty when it has, and for a pair that was never computed."""
        return self._whys.get(key, "")

    def depth_contents(self) -> list[str]:
        """Content of a photo for each result that holds depth of it."""
        return [content for contents in self._depths.values() for content in contents]

    def depths(self, content: str) -> list[ViewDepth]:
        """All stored depths of one photo, by key of their pairs."""
        found = []
        for key in sorted(key for key, contents in self._depths.items() if content in contents):
            result = self.get(key)
            found += [
                d for c, d in zip(key, (result.depth_a, result.depth_b), strict=True) if c == content and d
            ]
        return found

    def add(self, results: Mapping[Key, PairResult]) -> None:
        """Write results, none of them `failed`, as one segment, whole or not at all."""
        if not results:
            return
        self._write(list(results), list(results.values()))
        small = [path for path, count in self._counts.items() if count < _SMALL]
        if len(small) >= _MAX_SMALL_SEGMENTS:
            self._join(small)

    def _join(self, segments: Sequence[Path]) -> None:
        keys = [key for key, place in self._places.items() if place.segment in set(segments)]
        for start in range(0, len(keys), _LARGE):
            chunk = keys[start : start + _LARGE]
            self._write(chunk, [self.get(key) for key in chunk])
        for path in segments:
            self._counts.pop(path)
            path.unlink(missing_ok=True)

    def _write(self, keys: Sequence[Key], results: Sequence[PairResult]) -> None:
        number = 1 + max((int(path.stem.rpartition("_")[2]) for path in self._counts), default=0)
        path = self.folder / f"segment_{number:06d}.safetensors"
        arrays: dict[str, NDArray[np.generic]] = {}
        for index, result in enumerate(results):
            arrays.update(_arrays(index, result))
        header = {
            "keys": json.dumps(keys),
            "whys": json.dumps([result.why for result in results]),
            "depths": json.dumps([[_note(r.depth_a), _note(r.depth_b)] for r in results]),
        }
        atomic_write_bytes(path, save(arrays, header))
        self._add_segment(path)

    def _add_segment(self, path: Path) -> None:
        try:
            with safe_open(path, framework="numpy") as file:
                keys, depths, whys = _header(file)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            log.warning("%s is damaged; its pairs are computed again", path)
            path.unlink(missing_ok=True)
            return
        self._counts[path] = len(keys)
        for index, (a, b) in enumerate(keys):
            self._places[a, b] = _Place(path, index)
            if whys[index]:
                self._whys[a, b] = whys[index]
            bought = tuple(c for c, note in zip((a, b), depths[index], strict=True) if note is not None)
            if bought:
                self._depths[a, b] = bought


def _note(depth: ViewDepth | None) -> list[float] | None:
    return None if depth is None else [depth.stride, float(depth.focal_px)]


def _arrays(index: int, result: PairResult) -> dict[str, NDArray[np.generic]]:
    matches = result.matches
    arrays: dict[str, NDArray[np.generic]] = {
        f"{index}.xy": np.ascontiguousarray(np.hstack((matches.xy_a, matches.xy_b)), np.float32),
        f"{index}.confidence": np.ascontiguousarray(matches.confidence, np.float32),
    }
    for view, depth in (("a", result.depth_a), ("b", result.depth_b)):
        if depth is not None:
            # Metres as float32: float16 would round far away to decimetres.
            arrays[f"{index}.depth_{view}"] = np.ascontiguousarray(depth.depth, np.float32)
            arrays[f"{index}.depth_{view}_confidence"] = np.ascontiguousarray(depth.confidence, np.float16)
    return arrays


def _header(file: Any) -> tuple[list[list[str]], list[list[Any]], list[str]]:
    """Keys, depths and reasons of a segment, with the shape of every array checked.

    Raises:
        ValueError: the segment contradicts itself.
    """
    keys, depths, whys = (parsed_json(file.metadata()[name]) for name in ("keys", "depths", "whys"))
    sound = fits(keys, [[str]]) and fits(whys, [str]) and fits(depths, [[(None, [object])]])
    if not sound or not len(keys) == len(depths) == len(whys):
        raise ValueError("not a value for each pair")
    for index, (key, notes) in enumerate(zip(keys, depths, strict=True)):
        if len(key) != len(notes) or len(key) != len("ab"):
            raise ValueError("not two photos a pair")
        count, columns = _shape(file, f"{index}.xy", "F32", 2)
        if columns != 4 or _shape(file, f"{index}.confidence", "F32", 1) != [count]:
            raise ValueError("matches and confidences of different numbers")
        for view, note in zip("ab", notes, strict=True):
            if note is not None:
                _check_depth(file, f"{index}.depth_{view}", note)
    return keys, depths, whys


def _check_depth(file: Any, name: str, note: list[Any]) -> None:
    size = _shape(file, name, "F32", 2)
    numbers = len(note) == 2 and type(note[0]) is int and note[0] > 0 and type(note[1]) in (int, float)
    if not numbers or _shape(file, f"{name}_confidence", "F16", 2) != size:
        raise ValueError("depth without its confidence, stride or focal length")


def _shape(file: Any, name: str, dtype: str, ndim: int) -> list[int]:
    found = file.get_slice(name)
    shape: list[int] = found.get_shape()
    if found.get_dtype() != dtype or len(shape) != ndim:
        raise ValueError(f"{name} is no array of {ndim} dimensions of {dtype}")
    return shape


def _read(file: Any, index: int) -> PairResult:
    header = file.metadata()
    xy = file.get_tensor(f"{index}.xy")
    matches = DenseMatches(xy[:, :2].copy(), xy[:, 2:].copy(), file.get_tensor(f"{index}.confidence"))
    notes = json.loads(header["depths"])[index]
    depth_a, depth_b = (
        None
        if note is None
        else ViewDepth(
            file.get_tensor(f"{index}.depth_{view}"),
            file.get_tensor(f"{index}.depth_{view}_confidence").astype(np.float32),
            int(note[0]),
            float(note[1]),
        )
        for view, note in zip("ab", notes, strict=True)
    )
    return PairResult(matches, json.loads(header["whys"])[index], depth_a, depth_b)
