"""Rotations of pairs are those of the cameras, though nobody gave a focal length; false ones stand out."""

from pathlib import Path

import networkx as nx
import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from retrieval import Pair
from sfm.mapping import PairMatches, read_rotations
from sfm.mapping.pair_consistency.pair_rotations import rotation_errors

from .synthetic import synthesize
from .wall import Wall, chain


def angle_deg(rotation: np.ndarray) -> float:
    return float(np.rad2deg(Rotation.from_matrix(rotation).magnitude()))


def forget_focal_length(path: Path, *, factor: float) -> None:
    """Make the camera's focal length a guess that is wrong, and the geometries uncalibrated."""
    with pycolmap.Database.open(path) as db:
        (camera,) = db.read_all_cameras()
        camera.params = [factor * camera.params[0], *camera.params[1:]]
        camera.has_prior_focal_length = False
        db.update_camera(camera)
        for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
            geometry.config = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
            geometry.E = None
            db.update_two_view_geometry(*pycolmap.pair_id_to_image_pair(pair_id), geometry)


@pytest.mark.parametrize("guess", [None, 1.6, 0.6])
def test_rotations_are_the_cameras_whatever_the_guess_of_the_focal_length(tmp_path, guess) -> None:
    scene = synthesize(tmp_path / "scene.db", camera=(880.0, 512.0, 384.0, 0.0))
    if guess is not None:
        forget_focal_length(scene.database, factor=guess)

    rotations = read_rotations(scene.database, PairMatches.read(scene.database))

    pose = {image.name: image.cam_from_world().rotation for image in scene.truth.images.values()}
    assert len(rotations) == 28
    errors = [
        angle_deg(matrix @ (pose[pair.a] * pose[pair.b].inverse()).matrix())
        for pair, matrix in rotations.items()
    ]
    assert np.median(errors) < 1.0


def test_pairs_of_a_panorama_and_a_photo_have_an_essential_matrix_only(tmp_path) -> None:
    """COLMAP calls them uncalibrated where nobody gave the photo's focal length."""
    scene = synthesize(tmp_path / "scene.db")
    with pycolmap.Database.open(scene.database) as db:
        for pair_id, geometry in zip(*db.read_two_view_geometries(), strict=True):
            geometry.config = pycolmap.TwoViewGeometryConfiguration.UNCALIBRATED
            geometry.F = None
            db.update_two_view_geometry(*pycolmap.pair_id_to_image_pair(pair_id), geometry)

    rotations = read_rotations(scene.database, PairMatches.read(scene.database))

    pose = {image.name: image.cam_from_world().rotation for image in scene.truth.images.values()}
    assert len(rotations) == 28
    for pair, matrix in rotations.items():
        assert angle_deg(matrix @ (pose[pair.a] * pose[pair.b].inverse()).matrix()) < 1.0


def test_pairs_without_geometry_have_no_rotation(tmp_path) -> None:
    wall = Wall([0.0, 1.0, 2.0])
    wall.write_database(tmp_path / "wall.db", chain(wall, 2))
    matches = PairMatches.read(tmp_path / "wall.db")

    assert len(matches.inliers) == 3
    assert read_rotations(tmp_path / "wall.db", matches) == {}


def turned(degrees: float) -> np.ndarray:
    return Rotation.from_euler("xyz", [0.3 * degrees, degrees, 0.1 * degrees], degrees=True).as_matrix()


def test_the_error_of_a_pair_is_against_all_trusted_ones() -> None:
    names = [f"{i}" for i in range(6)]
    world = {name: turned(10.0 * i) for i, name in enumerate(names)}
    rotations = {Pair(a, b): world[b] @ world[a].T for a in names for b in names if a < b}
    off = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    rotations[Pair("0", "5")] = off @ rotations[Pair("0", "5")]
    trusted = nx.Graph([(a, b) for a, b in rotations if (a, b) not in {("0", "5"), ("1", "4")}])

    errors = rotation_errors(rotations, trusted, [Pair("0", "5"), Pair("1", "4")])

    assert errors[Pair("0", "5")] == pytest.approx(30, abs=0.1)
    assert errors[Pair("1", "4")] < 0.1


def test_pairs_across_parts_or_between_two_photos_alone_have_no_error() -> None:
    rotations = {Pair(a, b): np.eye(3) for a, b in ("ab", "ac", "bc", "de", "ce")}
    trusted = nx.Graph([*["ab", "ac", "bc", "de"]])

    errors = rotation_errors(rotations, trusted, rotations)

    assert set(errors) == {Pair("a", "b"), Pair("a", "c"), Pair("b", "c")}
    assert rotation_errors({}, trusted, rotations) == {}
