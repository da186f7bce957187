"""Which verified pairs are true: from a list made by looking, or from ground-truth poses and depth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from retrieval import Pair
from sfm.mapping.scene.pair_matches import PairMatches

LABELS = Path(__file__).resolve().parent / "labels"
_AGREES_PX = 8.0
_TRUE, _FALSE = 0.85, 0.15  # shares of matches that agree with the truth; between them a pair is mixed


class Label(StrEnum):
    """What a verified pair is; a mixed one has true and false matches."""

    TRUE = "true"
    FALSE = "false"
    MIXED = "mixed"


def pair_labels(name: str, folder: Path, matches: PairMatches) -> dict[Pair, Label]:
    """The label of each verified pair; all are true where nothing else is known.

    Args:
        name: of the set; `labels/NAME.txt` lists its false and mixed pairs.
        folder: of the set; with `gt.json` and `depth/` the matches are compared with them.
        matches: of the verified pairs.
    """
    listed = LABELS / f"{name}.txt"
    if listed.is_file():
        known = read_labels(listed)
        return {pair: known.get(pair, Label.TRUE) for pair in matches.inliers}
    if (folder / "depth").is_dir():
        return _depth_only_model(folder, matches)
    return dict.fromkeys(matches.inliers, Label.TRUE)


def read_labels(path: Path) -> dict[Pair, Label]:
    """Lines of two names and a label; `#` begins a comment."""
    lines = (line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines())
    return {Pair.of(words[0], words[1]): Label(words[2]) for words in lines if words}


def _depth_only_model(folder: Path, matches: PairMatches) -> dict[Pair, Label]:
    truth = json.loads((folder / "gt.json").read_text(encoding="utf-8"))
    labels = {}
    for pair, inliers in matches.inliers.items():
        forth = _agrees(folder, truth, matches, pair.a, pair.b, inliers)
        back = _agrees(folder, truth, matches, pair.b, pair.a, inliers[:, ::-1])
        share = float((forth | back).mean())
        labels[pair] = Label.TRUE if share > _TRUE else Label.FALSE if share < _FALSE else Label.MIXED
    return labels


def _agrees(
    folder: Path,
    truth: Mapping[str, Mapping[str, Mapping[str, object]]],
    matches: PairMatches,
    here: str,
    there: str,
    ends: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which matches lead to where the keypoint's own point on the surface is seen in the other photo."""
    xy, to = matches.keypoints[here][ends[:, 0]], matches.keypoints[there][ends[:, 1]]
    depth = np.load(folder / "depth" / f"{here}.npy", mmap_mode="r")
    width, height = matches.sizes[here]
    column, row = np.clip(xy.astype(int), 0, np.array([width, height]) - 1).T
    z = np.asarray(depth[row, column], dtype=np.float64)
    rays = pycolmap.Camera(**truth["cameras"][here]).cam_from_img(xy)
    local = np.column_stack([rays * z[:, None], z])
    first, second = truth["images"][here], truth["images"][there]
    world = (local - np.array(first["t_cw"])) @ np.array(first["R_cw"])
    seen = world @ np.array(second["R_cw"]).T + np.array(second["t_cw"])
    ahead = (seen[:, 2] > 0.05) & (z > 0)
    seen[~ahead] = [0.0, 0.0, 1.0]
    place = pycolmap.Camera(**truth["cameras"][there]).img_from_cam(seen)
    return np.asarray(ahead & (np.linalg.norm(place - to, axis=1) < _AGREES_PX))
