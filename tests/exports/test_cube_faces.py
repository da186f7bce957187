"""Panoramas as the faces of a cube."""

from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from sfm.errors import InputError
from sfm.exports.cube_faces import FACES, with_cube_faces
from sfm.exports.exporting import export
from sfm.exports.source import DepthOptions, Source
from sfm.untrusted.documents import read_json

WIDTH, HEIGHT = 512, 256


def colours(rays: np.ndarray) -> np.ndarray:
    """Smooth over all directions, (N, 3) in 0 to 255."""
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return 127.5 + 100 * np.sin(3 * unit + [0.3, 1.1, 2.0])


@pytest.fixture
def source(tmp_path: Path, make_scene) -> Source:
    """A model of four panoramas, each of which shows its directions as colours."""
    model = make_scene(tmp_path / "out", camera_model="EQUIRECTANGULAR", params=(320.0, 240.0))
    camera = pycolmap.Camera(
        camera_id=1, model="EQUIRECTANGULAR", width=WIDTH, height=HEIGHT, params=[WIDTH, HEIGHT]
    )
    for image in model.images.values():
        rays = image.cam_from_world() * np.array([p.xyz for p in model.points3D.values()])
        where = dict(zip(model.points3D, camera.img_from_cam(rays), strict=True))
        for point in image.points2D:
            if point.has_point3D():
                point.xy = where[point.point3D_id]
        column, row = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
        directions = camera.cam_ray_from_img(np.column_stack((column.ravel(), row.ravel())))
        pixels = colours(np.asarray(directions)).reshape(HEIGHT, WIDTH, 3).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "out" / "images" / image.name)
    model.camera(1).width, model.camera(1).height = WIDTH, HEIGHT
    model.camera(1).params = [WIDTH, HEIGHT]
    model.write(tmp_path / "out" / "sparse" / "0")
    return Source(tmp_path / "out", model)


def test_faces_show_what_the_panorama_shows_in_their_directions(source: Source, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()

    flat, photo_of = with_cube_faces(source, tmp_path / "faces")

    assert set(photo_of.values()) == {image.name for image in source.model.images.values()}
    for image in flat.model.images.values():
        camera = flat.model.camera(image.camera_id)
        with Image.open(flat.images / image.name) as face:
            pixels = np.asarray(face, np.float64)
        column, row = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        rays = camera.cam_ray_from_img(np.column_stack((column.ravel(), row.ravel())))
        rotation = FACES[Path(image.name).stem]
        expected = colours(np.asarray(rays) @ rotation).reshape(pixels.shape)
        assert np.abs(pixels - expected).max() < 6


def test_faces_have_the_poses_and_observations_of_the_panorama(source: Source, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()

    flat, _ = with_cube_faces(source, tmp_path / "faces")

    assert flat.model.num_reg_images() == 6 * source.model.num_reg_images()
    assert flat.model.num_points3D() == source.model.num_points3D()
    assert flat.model.compute_num_observations() == source.model.compute_num_observations()
    for image in flat.model.images.values():
        camera, seen = flat.model.camera(image.camera_id), image.get_observation_points2D()
        xyz = np.array([flat.model.point3D(p.point3D_id).xyz for p in seen]).reshape(-1, 3)
        where = camera.img_from_cam(image.cam_from_world() * xyz)
        assert np.allclose(where, np.array([p.xy for p in seen]).reshape(-1, 2), atol=1e-6)
        assert np.all((where >= -1e-6) & (where <= camera.width + 1e-6))


def test_an_export_names_the_panorama_behind_each_view(source: Source) -> None:
    folder = export(source.root, to="nerfstudio")

    photos = read_json(folder / "loopsfm_export.json")["photos"]
    assert len(photos) == 24
    assert set(photos.values()) == {image.name for image in source.model.images.values()}
    assert {path.name for path in (folder / "images").iterdir()} == set(photos)


def test_depth_of_panoramas_is_refused(source: Source) -> None:
    with pytest.raises(InputError, match="EQUIRECTANGULAR"):
        export(source.root, to="nerfstudio", depth=DepthOptions())


def test_a_missing_panorama_is_named(source: Source) -> None:
    name = source.model.image(1).name
    (source.images / name).unlink()

    with pytest.raises(InputError, match=name):
        export(source.root, to="3dgs")
