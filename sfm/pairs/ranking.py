"""Retrieval as the closed loop sees it."""

from collections.abc import Callable, Sequence

Rank = Callable[[str, int], Sequence[tuple[str, float]]]
"""`rank(name, k)`: the k photos most similar to `name` with their similarity in [0, 1], best first."""
