"""Pairs that need no look at the photos: every pair, capture order, positions, or a user's list."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from retrieval.errors import RetrievalError
from retrieval.scene_graph import Edge, Edges, Pair, Reason

_MICROMETRE = 1e-6
_MAX_LINE_LETTERS = 10_000
"""Added to radii: scipy leaves out points at exactly the bound."""


def exhaustive(names: Sequence[str]) -> Edges:
    """Every pair."""
    return {Pair.of(a, b): Edge(0.0, Reason.EXHAUSTIVE) for a, b in combinations(names, 2)}


def sequential(names: Sequence[str], overlap: int) -> Edges:
    """Each photo with the `overlap` that follow it, and with those 2, 4, 8 ... times `overlap` after it.

    The far links cost log N a photo and survive a few blurred frames. `names` are in capture order.
    """
    steps = list(range(1, overlap + 1))
    while steps[-1] * 2 < len(names):
        steps.append(steps[-1] * 2)
    return {
        Pair.of(name, names[i + step]): Edge(0.0, Reason.SEQUENCE)
        for i, name in enumerate(names)
        for step in steps
        if i + step < len(names)
    }


def consecutive(timestamps: Mapping[str, float], max_gap_s: float) -> Edges:
    """Each photo with the next one taken, when at most `max_gap_s` seconds lie between."""
    order = sorted(timestamps, key=lambda name: (timestamps[name], name))
    return {
        Pair.of(a, b): Edge(0.0, Reason.SEQUENCE)
        for a, b in pairwise(order)
        if timestamps[b] - timestamps[a] <= max_gap_s
    }


def spatial(positions_m: Mapping[str, NDArray[np.float64]], neighbours: int, max_distance_m: float) -> Edges:
    """Each photo with at most `neighbours` nearest others within a distance; positions (3,) east, north,
    up."""
    names = list(positions_m)
    if len(names) < 2:
        return {}
    points = np.array([positions_m[name] for name in names], np.float64).reshape(len(names), 3)
    k = min(neighbours + 1, len(names))  # the photo itself is among its nearest
    _, ids = cKDTree(points).query(points, k=k, distance_upper_bound=max_distance_m + _MICROMETRE)
    edges: Edges = {}
    for i, row in enumerate(ids.reshape(len(names), -1).tolist()):
        near = [j for j in row if j != i and j < len(names)][:neighbours]
        edges.update({Pair.of(names[i], names[j]): Edge(0.0, Reason.GPS) for j in near})
    return edges


def from_pairs_file(path: Path, names: Sequence[str]) -> Edges:
    """Pairs that a user lists: two names a line, parted by a tab or by spaces; names may hold spaces.

    Empty lines and lines that start with # are passed over, repeats and self pairs too.

    Raises:
        RetrievalError: the file cannot be read, or a line, which is named, does not hold two known names.
    """
    if not path.exists():
        raise RetrievalError(f"{path}: this list of pairs does not exist")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise RetrievalError(f"{path}: cannot be read as a list of pairs: {error}") from error
    known = frozenset(names)
    edges: Edges = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or (text.startswith("#") and text.split()[0] not in known):
            continue
        if len(text) > _MAX_LINE_LETTERS:
            raise RetrievalError(f"{path}:{number}: a line of {len(text)} letters cannot be two photo names")
        first, second = _two_names(text, known, f"{path}:{number}")
        if first != second:
            edges[Pair.of(first, second)] = Edge(0.0, Reason.USER)
    return edges


def _two_names(text: str, known: frozenset[str], where: str) -> tuple[str, str]:
    for first, second in _splits(text):
        if first in known and second in known:
            return first, second
    pieces = text.split("\t") if "\t" in text else text.split()
    if len(pieces) != 2:
        raise RetrievalError(f"{where}: expected two photo names with a tab between them: {text!r}")
    unknown = next(piece.strip() for piece in pieces if piece.strip() not in known)
    raise RetrievalError(f"{where}: no photo is called {unknown!r} (names are relative to the photo folder)")


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """Ways to part a line in two: at tabs first, else at any blank, the longest first name first."""
    for blank in ("\t", " "):
        for position in reversed([i for i, letter in enumerate(text) if letter == blank]):
            yield text[:position].rstrip(), text[position:].lstrip()
