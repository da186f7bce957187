"""A chain of photos, long enough for clusters: each is paired with the next five."""

from pathlib import Path

from . import synthetic

NUM_PHOTOS = 50
REACH = 5


def make_chain(folder: Path) -> synthetic.Scene:
    """The chain, next to `all.db`, where every two of its photos are paired."""
    scene = synthetic.synthesize(folder / "all.db", num_images=NUM_PHOTOS, num_points=200)
    path = synthetic.keep_pairs(scene.database, folder / "chain.db", window(NUM_PHOTOS, REACH))
    return synthetic.Scene(path, scene.truth)


def window(num_images: int, reach: int, first: int = 1) -> set[tuple[int, int]]:
    last = first + num_images
    return {(i, j) for i in range(first, last) for j in range(i + 1, min(i + reach, last - 1) + 1)}
