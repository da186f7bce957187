"""A rolling shutter is told from a global one by what frames of a moving camera show."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pycolmap
import pytest

from sfm.mapping.cameras.rolling_shutter import readout

from .lenses import HEIGHT, NOISE_PX, WIDTH, Array, adjusted, cloud, looking, simple_radial

Path = Callable[[float], pycolmap.Rigid3d]
NUM = 20
NAMES = [f"{i:02d}.jpg" for i in range(NUM)]


def walk(time: float) -> pycolmap.Rigid3d:
    """Round a cloud of points, up and down, looking a little about; one frame a unit of time."""
    angle = 0.08 * (time - NUM / 2)
    centre = np.array([6 * np.sin(angle), 0.8 * np.sin(0.5 * time), -6 * np.cos(angle)])
    return looking(centre, np.array([0.2 * np.sin(0.7 * time), 0.2 * np.cos(0.4 * time), 0.0]))


@cache
def filmed(share: float, *, axis: int = 1, path: Path = walk, seed: int = 0) -> pycolmap.Reconstruction:
    """The adjusted model of frames whose rows, or columns, are read out over this share of a frame's time."""
    rng = np.random.default_rng(seed)
    points, camera = cloud(250, rng), simple_radial()
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    tracks: dict[int, list[pycolmap.TrackElement]] = {}
    for i in range(NUM):
        xy = np.asarray(camera.img_from_cam(path(i) * points))
        for _ in range(4 if share else 0):
            xy = np.array(
                [seen_at(camera, path, i, share, axis, *both) for both in zip(xy, points, strict=True)]
            )
        xy = xy + rng.normal(scale=NOISE_PX, size=xy.shape)
        seen = np.flatnonzero(((xy > 0) & (xy < [WIDTH, HEIGHT])).all(axis=1))
        model.add_image_with_trivial_frame(pycolmap.Image(NAMES[i], xy[seen], 1, i + 1), path(i))
        for index, point in enumerate(seen):
            tracks.setdefault(int(point), []).append(pycolmap.TrackElement(i + 1, index))
    for point, elements in sorted(tracks.items()):
        if len(elements) >= 3:
            model.add_point3D(points[point], pycolmap.Track(elements), np.zeros(3, np.uint8))
    return adjusted(model)


def seen_at(
    camera: pycolmap.Camera, path: Path, frame: int, share: float, axis: int, xy: Array, point: Array
) -> Array:
    when = frame + share * (xy[axis] / (WIDTH, HEIGHT)[axis] - 0.5)
    return np.asarray(camera.img_from_cam((path(when) * point)[None]))[0]


@pytest.mark.parametrize(
    ("share", "axis", "first"), [(0.6, 1, "top"), (-0.3, 1, "bottom"), (0.5, 0, "left"), (0.15, 1, "top")]
)
def test_the_readout_is_found_with_its_direction(share: float, axis: int, first: str) -> None:
    found = readout(filmed(share, axis=axis), 1, NAMES)

    assert found is not None
    assert found.first == first
    assert found.share == pytest.approx(abs(share), rel=0.15)
    assert found.effect_px > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_a_global_shutter_shows_none(seed: int) -> None:
    assert readout(filmed(0.0, seed=seed), 1, NAMES) is None


def test_photos_in_no_order_show_none() -> None:
    shuffled = [NAMES[i] for i in np.random.default_rng(1).permutation(NUM)]

    assert readout(filmed(0.6), 1, shuffled) is None


def test_frames_whose_neighbours_are_not_registered_show_none() -> None:
    assert readout(filmed(0.6), 1, [name for frame in NAMES for name in (frame, f"gone-{frame}")]) is None
