"""Photos along a painted wall, and what they share: points, matches, and houses that look alike."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pycolmap

from retrieval import Pair
from sfm.mapping.scene.pair_matches import PairMatches

SIZE = (600, 400)
VIEW = 6.0
"""Width of the wall that a photo shows."""
_PER_UNIT = 60
_OUTLIERS = 10
"""Matches of every pair that its geometry leaves out."""


class Wall:
    """A straight wall with random points; photo i stands at `places[i]` and shows `VIEW` of it.

    The points of the stretch `twin` are those of the stretch that begins at `twin_of`, moved.
    """

    def __init__(self, places: Iterable[float], *, twins: tuple[float, float, float] | None = None) -> None:
        rng = np.random.default_rng(0)
        self.places = list(places)
        length = max(self.places) + VIEW
        self.points = np.column_stack(
            [rng.uniform(0, length, round(length * _PER_UNIT)), rng.uniform(0, 4, round(length * _PER_UNIT))]
        )
        self.twin = np.full(len(self.points), -1)
        if twins is not None:
            self._build_twins(*twins)
        self.seen = [np.flatnonzero(self._shown(place)) for place in self.places]
        self._rng = rng

    def _build_twins(self, first: float, second: float, width: float) -> None:
        u = self.points[:, 0]
        kept = (u < second) | (u >= second + width)
        front = self.points[(u >= first) & (u < first + width)]
        original = np.flatnonzero(((u >= first) & (u < first + width))[kept])
        self.points = np.vstack([self.points[kept], front + np.array([second - first, 0.0])])
        self.twin = np.full(len(self.points), -1)
        copies = np.arange(len(self.points) - len(front), len(self.points))
        self.twin[copies], self.twin[original] = original, copies

    def _shown(self, place: float) -> np.ndarray:
        return (self.points[:, 0] >= place) & (self.points[:, 0] < place + VIEW)

    def keypoints(self, photo: int) -> np.ndarray:
        """Of the points that a photo shows, (N, 2), px."""
        return (self.points[self.seen[photo]] - [self.places[photo], 0.0]) * 100

    def true_matches(self, first: int, second: int, *, share: float = 0.8) -> np.ndarray:
        """Of the points that both photos show, found with this chance."""
        _, at, to = np.intersect1d(self.seen[first], self.seen[second], return_indices=True)
        return self._found(np.column_stack([at, to]), share)

    def false_matches(self, first: int, second: int, *, share: float = 0.25) -> np.ndarray:
        """Of points of the first photo with their twins in the second; another light, fewer of them."""
        _, at, to = np.intersect1d(self.twin[self.seen[first]], self.seen[second], return_indices=True)
        known = self.twin[self.seen[first]][at] >= 0
        return self._found(np.column_stack([at, to])[known], share)

    def chance_matches(self, first: int, second: int, count: int) -> np.ndarray:
        """Of keypoints that have nothing in common."""
        sides = [self._rng.choice(len(self.seen[i]), count, replace=False) for i in (first, second)]
        return np.column_stack(sides).astype(np.int64)

    def _found(self, matches: np.ndarray, share: float) -> np.ndarray:
        return matches[self._rng.random(len(matches)) < share].astype(np.int64)

    def matches(self, inliers: dict[tuple[int, int], np.ndarray]) -> PairMatches:
        """As they would be read from a database; first < second."""
        names = [name(i) for i in range(len(self.places))]
        return PairMatches(
            {names[i]: self.keypoints(i) for i in range(len(names))},
            dict.fromkeys(names, SIZE),
            {pair(*ends): found for ends, found in sorted(inliers.items())},
            {pair(*ends): len(found) + _OUTLIERS for ends, found in sorted(inliers.items())},
        )

    def write_database(self, path: Path, inliers: dict[tuple[int, int], np.ndarray]) -> None:
        """A COLMAP database with these pairs, which knows nothing of their geometry but their inliers."""
        with pycolmap.Database.open(path) as db:
            focal_px = 1.2 * SIZE[0]
            camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", focal_px, *SIZE)
            db.write_camera(camera, use_camera_id=True)
            for photo in range(len(self.places)):
                image_id = db.write_image(pycolmap.Image(name=name(photo), camera_id=1))
                db.write_keypoints(image_id, self.keypoints(photo).astype(np.float32))
            for (first, second), found in sorted(inliers.items()):
                geometry = pycolmap.TwoViewGeometry()
                geometry.config = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
                geometry.inlier_matches = found.astype(np.uint32)
                db.write_two_view_geometry(first + 1, second + 1, geometry)
                outliers = self.chance_matches(first, second, _OUTLIERS)
                db.write_matches(first + 1, second + 1, np.vstack([found, outliers]).astype(np.uint32))


def name(photo: int) -> str:
    return f"{photo:03d}.jpg"


def pair(first: int, second: int) -> Pair:
    return Pair.of(name(first), name(second))


def chain(wall: Wall, reach: int) -> dict[tuple[int, int], np.ndarray]:
    """The true matches of each photo with the next `reach`."""
    count = len(wall.places)
    ends = [(i, j) for i in range(count) for j in range(i + 1, min(count, i + reach + 1))]
    found = {(i, j): wall.true_matches(i, j) for i, j in ends}
    return {key: matches for key, matches in found.items() if len(matches) >= 15}
