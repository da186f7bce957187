"""Keypoints and inlier matches of all verified pairs, read from the database once."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from .view_graph import MIN_NUM_INLIERS


@dataclass(frozen=True, eq=False)
class PairMatches:
    """What the images of a view graph share."""

    keypoints: Mapping[str, npt.NDArray[np.float64]]
    """Of each image, (N, 2), px."""
    sizes: Mapping[str, tuple[int, int]]
    """Width and height of each image, px."""
    inliers: Mapping[Pair, npt.NDArray[np.int64]]
    """Of each verified pair, (M, 2): keypoint of `pair.a`, keypoint of `pair.b`."""
    num_matches: Mapping[Pair, int] = field(default_factory=dict)
    """Of pairs before verification, where it is known."""

    @classmethod
    def read(cls, database: Path, *, min_num_inliers: int = MIN_NUM_INLIERS) -> PairMatches:
        """Read a COLMAP database; pairs with fewer inliers are left out, as in `ViewGraph.read`."""
        with pycolmap.Database.open(database) as db:
            images = {image.image_id: image for image in db.read_all_images()}
            cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
            keypoints = {
                image.name: np.asarray(db.read_keypoints(image_id)[:, :2], dtype=np.float64)
                for image_id, image in images.items()
            }
            inliers: dict[Pair, npt.NDArray[np.int64]] = {}
            for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
                matches = np.asarray(geometry.inlier_matches, dtype=np.int64)
                if len(matches) < min_num_inliers:
                    continue
                name_1, name_2 = (images[i].name for i in pycolmap.pair_id_to_image_pair(pair_id))
                inliers[Pair.of(name_1, name_2)] = matches if name_1 < name_2 else matches[:, ::-1]
        names = {image_id: image.name for image_id, image in images.items()}
        num_matches = {pair: rows for pair, rows in _num_matches(database, names).items() if pair in inliers}
        sizes = {
            image.name: (cameras[image.camera_id].width, cameras[image.camera_id].height)
            for image in images.values()
        }
        return cls(keypoints, sizes, dict(sorted(inliers.items())), num_matches)

    def diagonal_px(self, name: str) -> float:
        """Length of an image's diagonal."""
        return float(np.hypot(*self.sizes[name]))

    @cached_property
    def num_pairs_of_keypoints(self) -> dict[str, npt.NDArray[np.int64]]:
        """In how many pairs each keypoint of an image is matched, (N,)."""
        counts = {name: np.zeros(len(xy), dtype=np.int64) for name, xy in self.keypoints.items()}
        for pair, matches in self.inliers.items():
            counts[pair.a][matches[:, 0]] += 1  # once, however often it is named
            counts[pair.b][matches[:, 1]] += 1
        return counts


def _num_matches(database: Path, name_of: Mapping[int, str]) -> dict[Pair, int]:
    """Rows of the matches of each pair, without reading them."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT pair_id, rows FROM matches").fetchall()
    ends = {pair_id: pycolmap.pair_id_to_image_pair(pair_id) for pair_id, _ in rows}
    return {
        Pair.of(*(name_of[i] for i in ends[pair_id])): count
        for pair_id, count in rows
        if all(i in name_of for i in ends[pair_id])
    }
