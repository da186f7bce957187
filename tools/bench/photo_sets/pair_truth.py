"""Which verified pairs are true: from a list made by looking, or from true poses, with depth or without."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
from numpy.typing import NDArray

from kernels.sampson import sampson_distances
from retrieval import Pair
from sfm.mapping.scene.pair_matches import PairMatches

LABELS = Path(__file__).resolve().parent / "labels"
_AGREES_PX = 8.0
_NEAR_PX = 6.0  # from the epipolar lines of the true poses
_TRUE, _FALSE = 0.65, 0.3  # shares of matches that agree with the truth; between them a pair is mixed


class Label(StrEnum):
    """What a verified pair is; a mixed one has true and false matches."""

    TRUE = "true"
    FALSE = "false"
    MIXED = "mixed"


def pair_labels(name: str, folder: Path, matches: PairMatches) -> dict[Pair, Label]:
    """The label of each verified pair whose truth is known; all are true where the set has no truth at all.

    Args:
        name: of the set; `labels/NAME.txt` lists its false and mixed pairs.
        folder: of the set; `false_pairs.json` lists its false pairs. With `depth/` matches are compared with
            the surface, else with the epipolar lines of `gt.json` or `reference.json`.
        matches: of the verified pairs.
    """
    listed = LABELS / f"{name}.txt"
    if listed.is_file():
        known = read_labels(listed)
        return {pair: known.get(pair, Label.TRUE) for pair in matches.inliers}
    if (folder / "false_pairs.json").is_file():
        false = {Pair.of(*ends) for ends in json.loads((folder / "false_pairs.json").read_text("utf-8"))}
        return {pair: Label.FALSE if pair in false else Label.TRUE for pair in matches.inliers}
    if (folder / "depth").is_dir():
        return _depth_only_model(folder, matches)
    for truth in ("gt.json", "reference.json"):
        if (folder / truth).is_file():
            return _by_poses(json.loads((folder / truth).read_text(encoding="utf-8")), matches)
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
        labels[pair] = _label(float((forth | back).mean()))
    return labels


def _label(share: float) -> Label:
    return Label.TRUE if share >= _TRUE else Label.FALSE if share <= _FALSE else Label.MIXED


def _by_poses(truth: Mapping[str, Any], matches: PairMatches) -> dict[Pair, Label]:
    """Labels of the pairs of images with poses; pairs between two frames of reference are false."""
    images, frame = truth["images"], truth.get("components") or {}
    labels = {}
    for pair, inliers in matches.inliers.items():
        if not images.keys() >= set(pair):
            continue
        if frame.get(pair.a) != frame.get(pair.b):
            labels[pair] = Label.FALSE
            continue
        cameras = [pycolmap.Camera(**truth["cameras"][name]) for name in pair]
        for camera, name in zip(cameras, pair, strict=True):
            camera.rescale(*matches.sizes[name])
        rays = [
            np.column_stack([camera.cam_from_img(matches.keypoints[name][ends]), np.ones(len(ends))])
            for camera, name, ends in zip(cameras, pair, inliers.T, strict=True)
        ]
        poses = [
            pycolmap.Rigid3d(
                pycolmap.Rotation3d(np.array(images[name]["R_cw"])), np.array(images[name]["t_cw"])
            )
            for name in pair
        ]
        essential = pycolmap.essential_matrix_from_pose(poses[1] * poses[0].inverse())
        focal_px = sum(camera.mean_focal_length() for camera in cameras) / 2
        near = sampson_distances(rays[0], rays[1], essential) * focal_px < _NEAR_PX
        labels[pair] = _label(float(near.mean()))
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
