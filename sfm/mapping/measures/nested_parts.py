"""Parts of a set of images, and parts within these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

MIN_IMAGES = 3  # of a part
_MAX_CUTS = 3  # of a part within a part


def nested_parts(
    names: Set[str], cut: Callable[[list[str]], frozenset[str]], *, min_images: int = 2 * MIN_IMAGES
) -> Iterator[frozenset[str]]:
    """The smaller sides of cuts, each before the parts within it and within the other side.

    Args:
        names: images.
        cut: returns one side of some of them, which are in order; all or none where they stay together.
        min_images: sets of fewer images are not cut.
    """
    waiting = [(frozenset(names), 0)]
    while waiting:
        images, depth = waiting.pop(0)
        if len(images) < min_images or depth > _MAX_CUTS:
            continue
        part = cut(sorted(images))
        rest = images - part
        if not part or not rest:
            continue
        smaller = min(part, rest, key=lambda side: (len(side), min(side)))
        if len(smaller) >= MIN_IMAGES:
            yield smaller
        waiting += [(part, depth + 1), (rest, depth + 1)]
