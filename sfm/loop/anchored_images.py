"""Whether the images that were added to a model are connected to its earlier images."""

from __future__ import annotations

from collections.abc import Set

from sfm.mapping import ViewGraph

_ANCHORS = 2
"""Verified pairs with earlier images that an added image needs."""


def all_anchored(view_graph: ViewGraph, added: Set[str], earlier: Set[str]) -> bool:
    """Whether each added image has verified pairs with two earlier ones.

    Args:
        view_graph: verified pairs.
        added: images that all are in a model by now.
        earlier: images of the given models; without any, no image is anchored.
    """
    return all(len(earlier & set(view_graph.neighbours(name))) >= _ANCHORS for name in added)
