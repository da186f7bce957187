"""What the rule for richer cameras costs: drawn models of known lenses, AUC@1 of it, of always, of never.

    python tools/bench evidence.cameras OUT.json [--photos 5 8 12] [--seeds 3]

Each cell is a number of photos, a field of view, a scene (flat, deep or a street ahead), with or without
wrong points, and a lens. `right` frees what the lens has, `never` nothing, `rule` what the observations
support.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations, product
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import pycolmap
from harness.arguments import program

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.evaluation.metrics import auc
from sfm.mapping.cameras.loss import with_fitting_loss
from sfm.mapping.cameras.richer_cameras import RicherCameras, adjusted_with, richer_cameras
from sfm.mapping.scene.camera_models import as_model
from sfm.mapping.scene.options import mapper_options

Array = npt.NDArray[np.float64]

_WIDTH, _HEIGHT, _NOISE_PX, _NUM_POINTS, _WRONG_PX = 1024, 768, 0.5, 500, 6.0
_FOCAL: Mapping[str, float] = {"narrow": 1300.0, "wide": 600.0}
_LENSES: Mapping[str, tuple[str, tuple[float, ...]]] = {
    "SIMPLE_RADIAL": ("SIMPLE_RADIAL", (0.0, 0, 0, 0.02)),
    "off centre": ("SIMPLE_RADIAL", (6.0, -4, 0, 0.02)),
    "RADIAL": ("RADIAL", (0.0, 0, 0, -0.05, 0.06)),
    "OPENCV": ("OPENCV", (6.0, -4, 0.002, -0.05, 0.06, 0.0006, -0.0004)),
    "Brown": ("FULL_OPENCV", (4.0, 3, 0.0, -0.25, 0.12, 0.0002, 0.0003, -0.02)),
    "thin prism": (
        "THIN_PRISM_FISHEYE",
        (6.0, -4, 0.0004, 0.21, 0.21, -5e-6, 0.0005, -0.158, 0.403, -8.5e-5, -0.0009),
    ),
}
"""Model that is right; shift of the principal point, fx / fy - 1, and the distortion, zero where it ends."""
_REACHED = {"THIN_PRISM_FISHEYE": "FULL_OPENCV"}
"""The richest model of those that a camera may get, where it can't get the right one."""


def main() -> None:
    """Draw all cells, write a row each and their summary."""
    parser = program(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--photos", type=int, nargs="+", default=[5, 8, 12, 20, 50])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lenses", nargs="+", choices=list(_LENSES), default=list(_LENSES))
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    rows = [
        {"photos": photos, "view": view, "scene": scene, "wrong": wrong, "lens": lens}
        | _cell(photos, view, scene, wrong, lens, options.seeds)
        for photos, view, scene, wrong, lens in product(
            options.photos, _FOCAL, _SCENES, (0.0, 0.02), options.lenses
        )
    ]
    lost = [float(row["right"]) - float(row["rule"]) for row in rows]  # type: ignore[arg-type]
    summary = {"mean_loss": round(float(np.mean(lost)), 2), "worst_cell": round(max(lost), 2)}
    options.out.write_text(json.dumps({"summary": summary, "cells": rows}, indent=1), encoding="utf-8")
    print(json.dumps(summary))


def _cell(photos: int, view: str, scene: str, wrong: float, lens: str, seeds: int) -> dict[str, object]:
    found: dict[str, list[float]] = {"right": [], "never": [], "rule": []}
    freed: list[list[str]] = []
    for seed in range(seeds):
        model, true = _drawn(photos, _FOCAL[view], scene, wrong, lens, seed)
        options = mapper_options(
            RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0
        ).global_ba
        model = adjusted_with(model, _as_said(model, shifted=False), options) or model
        right = pycolmap.Reconstruction(model)
        model_name = _LENSES[lens][0]
        camera, wide = right.camera(1), as_model(model.camera(1), _REACHED.get(model_name, model_name))
        camera.model, camera.params = wide.model, wide.params
        off_centre = _LENSES[lens][1][0] != 0
        richer = richer_cameras(model, options, RefineConfig(), fixed_cameras=frozenset())
        for name, start, said in (
            ("never", model, _as_said(model, shifted=False)),
            ("right", right, _as_said(right, shifted=off_centre)),
            ("rule", richer.started(model), richer),
        ):
            last = with_fitting_loss(options, start, "evidence")
            found[name].append(_auc(adjusted_with(start, said, last) or model, true))
        freed.append(sorted({name for one in richer.selections.values() for name in one.accepted}))
    return {name: round(median(values), 2) for name, values in found.items()} | {"freed": freed}


def _as_said(model: pycolmap.Reconstruction, *, shifted: bool) -> RicherCameras:
    return RicherCameras(
        {}, {1: len(model.images)}, frozenset(), frozenset({1} if shifted else ()), _NOISE_PX
    )


def _drawn(
    photos: int, focal: float, scene: str, wrong: float, lens: str, seed: int
) -> tuple[pycolmap.Reconstruction, list[pycolmap.Rigid3d]]:
    """True poses and points with what a lens saw of them; the model believes SIMPLE_RADIAL."""
    rng = np.random.default_rng(seed)
    cx, cy, aspect, *distortion = _LENSES[lens][1]
    params = [focal * (1 + aspect / 2), focal * (1 - aspect / 2), _WIDTH / 2 + cx, _HEIGHT / 2 + cy]
    size = {"camera_id": 1, "width": _WIDTH, "height": _HEIGHT}
    name = _LENSES[lens][0]
    drawn = name if name in ("FULL_OPENCV", "THIN_PRISM_FISHEYE") else "OPENCV"
    num = pycolmap.Camera.create_from_model_name(1, drawn, 1.0, 1, 1).params.size
    distortion += [0.0] * (num - 4 - len(distortion))
    camera = pycolmap.Camera(model=drawn, params=[*params, *distortion], **size)
    model = pycolmap.Reconstruction()
    believed = [focal, _WIDTH / 2, _HEIGHT / 2, 0.0 if name == "THIN_PRISM_FISHEYE" else distortion[0]]
    model.add_camera_with_trivial_rig(pycolmap.Camera(model="SIMPLE_RADIAL", params=believed, **size))
    corners = np.array([[0.0, 0.0], [_WIDTH, 0.0], [0.0, _HEIGHT], [_WIDTH, _HEIGHT]])
    furthest = np.linalg.norm(np.asarray(camera.cam_from_img(corners)), axis=1).max()  # a polynomial folds
    points, poses = _SCENES[scene](photos, focal, rng)
    tracks: dict[int, list[pycolmap.TrackElement]] = {}
    for i, pose in enumerate(poses):
        inside = pose * points
        xy = np.asarray(camera.img_from_cam(inside))
        xy[np.linalg.norm(inside[:, :2], axis=1) > furthest * inside[:, 2]] = -1e6
        xy = xy + rng.normal(scale=_NOISE_PX, size=xy.shape)
        off = rng.random(len(xy)) < wrong
        xy[off] += rng.uniform(-_WRONG_PX, _WRONG_PX, (off.sum(), 2))
        seen = np.flatnonzero(((xy > 0) & (xy < [_WIDTH, _HEIGHT])).all(axis=1))
        model.add_image_with_trivial_frame(pycolmap.Image(f"{i:03d}.jpg", xy[seen], 1, i + 1), pose)
        for index, point in enumerate(seen):
            tracks.setdefault(int(point), []).append(pycolmap.TrackElement(i + 1, index))
    for point, elements in sorted(tracks.items()):
        if len(elements) >= 2:
            model.add_point3D(points[point], pycolmap.Track(elements), np.zeros(3, np.uint8))
    return model, poses


def _flight(photos: int, focal: float, rng: np.random.Generator) -> tuple[Array, list[pycolmap.Rigid3d]]:
    """Rows there and back over ground that is nearly flat, with 60 % overlap, looking down."""
    across = int(np.ceil(np.sqrt(photos)))
    height = 8.0 * focal / _WIDTH
    places = [np.array([3.2 * (i % across), 2.4 * (i // across), -height]) for i in range(photos)]
    ends = np.max(places, axis=0)[:2] + np.array([4, 3])
    num = int(_NUM_POINTS * np.prod(ends + np.array([4, 3])) / 48)
    ground = np.column_stack((rng.uniform((-4, -3), ends, (num, 2)), rng.normal(scale=0.1, size=num)))
    return ground, [
        _looking(at, at + np.append(rng.normal(scale=0.3, size=2), height), np.pi * (i // across % 2))
        for i, at in enumerate(places)
    ]


def _drive(photos: int, _: float, rng: np.random.Generator) -> tuple[Array, list[pycolmap.Rigid3d]]:
    """Straight ahead through a street, turning by a few degrees."""
    num = _NUM_POINTS * (photos + 12) // 12
    sides = np.where(rng.random(num) < 0.5, -1, 1) * rng.uniform(4, 7, num)
    walls = np.column_stack((sides, rng.uniform(-3, 1.5, num), rng.uniform(0, photos + 25, num)))
    heading = np.cumsum(rng.normal(scale=0.02, size=photos))
    return walls, [
        _looking(
            np.array([rng.normal(scale=0.05), rng.normal(scale=0.02), float(i)]),
            np.array([20 * np.sin(turn), rng.normal(scale=0.1), i + 20.0]),
            rng.normal(scale=0.01),
        )
        for i, turn in enumerate(heading)
    ]


def _walk_round(photos: int, focal: float, rng: np.random.Generator) -> tuple[Array, list[pycolmap.Rigid3d]]:
    """An arc of 100 degrees about a deep scene, a photo in five upright."""
    angles = np.linspace(-0.9, 0.9, photos)
    away = 6 * focal / _WIDTH + 2
    return rng.uniform(-2.5, 2.5, (_NUM_POINTS, 3)), [
        _looking(
            np.array([away * np.sin(angle), rng.uniform(-1, 1), -away * np.cos(angle)]),
            rng.normal(scale=0.3, size=3),
            (np.pi / 2 if i % 5 == 1 else 0.0) + rng.normal(scale=0.05),
        )
        for i, angle in enumerate(angles)
    ]


_SCENES = {"flat": _flight, "deep": _walk_round, "ahead": _drive}


def _looking(centre: Array, target: Array, roll: float) -> pycolmap.Rigid3d:
    z = (target - centre) / np.linalg.norm(target - centre)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    c, s = np.cos(roll), np.sin(roll)
    rows = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.stack((x, np.cross(z, x), z))
    return pycolmap.Rigid3d(pycolmap.Rotation3d(rows), -rows @ centre)


def _auc(model: pycolmap.Reconstruction, true: list[pycolmap.Rigid3d]) -> float:
    """AUC@1 of the larger of the errors of relative rotation and direction, all pairs."""
    errors = []
    for i, j in combinations(range(len(true)), 2):
        ours, theirs = (
            poses[j] * poses[i].inverse()
            for poses in ([model.image(k + 1).cam_from_world() for k in range(len(true))], true)
        )
        turned = (ours.rotation * theirs.rotation.inverse()).angle()
        a, b = ours.translation, theirs.translation
        aside = np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)
        errors.append(float(np.rad2deg(max(turned, aside))))
    return auc(np.array(errors), 1.0)


if __name__ == "__main__":
    main()
