"""Finished workspaces made by hand from a rendered scene with depth: true poses, in a unit of their own."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image

from sfm.mast3r.oracle.oracle_scene import TrueView, depth_at, load_scene
from tests.rooms import Shot, plain, write_room

UNIT_M = 2.5
"""Metres per unit of the model."""
SIZE = 128
"""Longer side of the network's images, px."""
TURN = pycolmap.Rotation3d(np.array([0.3, -0.5, 0.2]))
SHIFT = np.array([4.0, -1.0, 2.0])
MODEL_FROM_WORLD = pycolmap.Sim3d(1 / UNIT_M, TURN, SHIFT)

WORLD_FROM_MODEL = MODEL_FROM_WORLD.inverse()

GROUND, WALL, BOX = (200, 60, 60), (60, 60, 200), (60, 200, 60)

_STORED_FROM_UPRIGHT = {1: np.eye(3), 6: np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])}
"""Of camera frames, by EXIF orientation."""


def room(folder: Path, width: int = 160) -> None:
    """The room in its colours, in six photos of width x 3/4 width px; `away` looks elsewhere."""
    high = width * 3 // 4
    shots = {
        "left.jpg": Shot((-3.0, -4, 1.6), size=(width, high)),
        "right.jpg": Shot((1.0, -4.5, 1.7), size=(width, high)),
        "close.jpg": Shot((0.5, -1.5, 1.6), size=(width, high)),
        "above.jpg": Shot((-1.0, -3.5, 2.6), size=(width, high)),
        "away.jpg": Shot((-3.0, -4, 1.6), (-1.0, -20, 1.2), size=(width, high)),
        "upright.jpg": Shot((1.0, -4, 1.6), size=(high, width), k1=0.04),
    }
    write_room(folder, shots, textures=map(plain, (GROUND, WALL, BOX)))


def off_surfaces(xyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance (N,) of points of the room from the nearest plane that anything in it lies on, metres."""
    x, y, z = xyz.T
    planes = [z, y - 5, z - 1.2, y - 1.5, y - 2.5, x - 0.75, x + 0.75]
    return np.asarray(np.min(np.abs(planes), axis=0))


def workspace(
    scene: Path,
    out: Path,
    *,
    num_points: int = 60,
    orientations: Mapping[str, int] | None = None,
    camera_model: str = "SIMPLE_RADIAL",
    **config: object,
) -> pycolmap.Reconstruction:
    """OUT as `sfm run` would leave it with the oracle: `images/`, `sparse/0` and `run.json`.

    Args:
        scene: what `room` wrote.
        out: receives the workspace.
        num_points: points that each photo contributes.
        orientations: EXIF orientation that a photo is stored with, 6 or 1.
        camera_model: of all photos; one whose parameters begin as OPENCV's, or SIMPLE_RADIAL.
        config: other sections of the configuration.

    Returns:
        The model.
    """
    orientations = orientations or {}
    shutil.copytree(scene / "images", out / "images", copy_function=os.symlink)
    for name, orientation in orientations.items():
        _turn_photo(out / "images" / name, orientation)
    views = load_scene(scene)
    model = pycolmap.Reconstruction()
    for image_id, name in enumerate(sorted(views), 1):
        _add_photo(model, image_id, views[name], orientations.get(name, 1), camera_model)
    _add_points(model, views, num_points)
    model.transform(MODEL_FROM_WORLD)
    (out / "sparse" / "0").mkdir(parents=True)
    model.write(out / "sparse" / "0")
    dense = {"oracle": str(scene), "image_size": SIZE}
    record = {"backend": "mast3r", "config": {"backend": "mast3r", "mast3r": dense, **config}}
    (out / "run.json").write_text(json.dumps(record))
    return model


def _turn_photo(path: Path, orientation: int) -> None:
    """Replace an upright photo by one that is stored turned and says so."""
    stored_from_upright = {6: Image.Transpose.ROTATE_90}
    with Image.open(path) as upright:
        stored = upright.transpose(stored_from_upright[orientation])
    path.unlink()
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif, quality=95)


def _add_photo(
    model: pycolmap.Reconstruction, image_id: int, view: TrueView, orientation: int, camera_model: str
) -> None:
    width, height = view.photo_size if orientation < 5 else view.photo_size[::-1]
    focal, _, _, k1 = view.camera.params
    params = [focal, width / 2, height / 2, k1]
    if camera_model != "SIMPLE_RADIAL":
        params = [focal, focal, width / 2, height / 2, k1]
    camera = pycolmap.Camera.create_from_model_name(image_id, camera_model, focal, width, height)
    camera.params = params + [0.0] * (len(camera.params) - len(params))
    model.add_camera_with_trivial_rig(camera)
    image = pycolmap.Image(name=view.name, camera_id=image_id, image_id=image_id)
    turn = _STORED_FROM_UPRIGHT[orientation]
    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(turn @ view.rotation), turn @ view.translation)
    model.add_image_with_trivial_frame(image, pose)


def _add_points(model: pycolmap.Reconstruction, views: Mapping[str, TrueView], count: int) -> None:
    """Points behind random pixels, tracked through the photos that see them."""
    points = _points(views, count)
    tracks: list[list[pycolmap.TrackElement]] = [[] for _ in points]
    for image_id, name in enumerate(sorted(views), 1):
        view, image = views[name], model.image(image_id)
        seen = _seen(view, points)
        local = np.array([image.cam_from_world() * point for point in points[seen]])
        found = [pycolmap.Point2D(xy) for xy in model.camera(image_id).img_from_cam(local)]
        image.points2D = pycolmap.Point2DList(found)
        for index, number in enumerate(np.flatnonzero(seen)):
            tracks[number].append(pycolmap.TrackElement(image_id, index))
    grey = np.array([128, 128, 128], np.uint8)
    for point, track in zip(points, tracks, strict=True):
        if len(track) >= 2:
            model.add_point3D(point, pycolmap.Track(track), grey)


def _seen(view: TrueView, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which world points (N, 3) a photo shows, hidden by nothing."""
    local = points @ view.rotation.T + view.translation
    where = np.nan_to_num(view.camera.img_from_cam(local), nan=-1.0)
    inside = ((where > 0) & (where < view.photo_size)).all(axis=1) & (local[:, 2] > 0)
    return inside & (np.abs(depth_at(view.depth(), where) / local[:, 2] - 1) < 0.02)


def _points(views: Mapping[str, TrueView], count: int) -> NDArray[np.float64]:
    """World points (n, 3), metres, behind random pixels of each photo."""
    rng = np.random.default_rng(0)
    found = []
    for view in views.values():
        depth = view.depth()
        rows, columns = np.nonzero(depth > 0)
        chosen = rng.choice(len(rows), min(count, len(rows)), replace=False)
        rows, columns = rows[chosen], columns[chosen]
        flat = view.camera.cam_from_img(np.column_stack((columns, rows)) + 0.5)
        rays = np.column_stack((flat, np.ones(len(flat))))
        found.append((rays * depth[rows, columns, None] - view.translation) @ view.rotation)
    return np.concatenate(found)


def description(folder: Path, name: str) -> dict:
    return json.loads((folder / "depth" / f"{name}.json").read_text())


def maps(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.load(folder / part / f"{name}.npy") for part in ("depth", "confidence"))


def world(points: np.ndarray) -> np.ndarray:
    """Metres, from the model's unit."""
    rotation = WORLD_FROM_MODEL.rotation.matrix()
    return WORLD_FROM_MODEL.scale * points @ rotation.T + WORLD_FROM_MODEL.translation
