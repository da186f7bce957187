"""Features and pairs of a model that COLMAP made: from its database, or from photos and its own tracks."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sfm.colmap.database import FeatureDatabase
from sfm.colmap.database_checks import check_database
from sfm.colmap.sqlite_files import open_read_only
from sfm.errors import InputError, WorkspaceError
from sfm.mapping import MIN_NUM_INLIERS
from sfm.stages.session import PhotoSession

from .model import GivenModel

_SAME_PLACE_PX = 1.0
_EQUAL_PX = 0.01
_PARTNERS = 30
"""Pairs of a photo that stand in for its matches: those that share most points with it."""
_MIN_FOUND = 0.3
"""Share of the observations that must have a descriptor for new photos to find the model's points."""

Keypoints = NDArray[np.float32]
Descriptors = NDArray[np.uint8]


def load_features(given: GivenModel, database: FeatureDatabase) -> None:
    """Take features of the model's photos from its own COLMAP database, where it is given.

    Features of photos whose keypoints are not the model's are left out. The database holds the photos
    already.

    Raises:
        InputError: the model's database cannot be read, or it is of other photos or keypoints.
    """
    if given.workspace or given.database is None:
        return
    theirs, known = _read(given.database), database.num_keypoints()
    with_keypoints = [(image, xy) for image in _images(given) if len(xy := _positions(image))]
    taken = [image.name for image, _ in with_keypoints if image.name in known]
    for image, xy in with_keypoints:
        stored = theirs.get(image.name)
        if image.name not in known and stored is not None and _are_equal(stored[0], xy):
            database.put_features(image.name, *stored)
            taken.append(image.name)
    if theirs and with_keypoints and not taken:
        raise InputError(
            f"{given.database} has the keypoints of none of the model's photos",
            hint="give the database that the model was made from; without it photos are described again",
        )


def _are_equal(stored: Keypoints, xy: Keypoints) -> bool:
    return len(stored) == len(xy) and float(np.abs(stored[:, :2] - xy).max()) < _EQUAL_PX


def take_over_features(session: PhotoSession, given: GivenModel, database: FeatureDatabase) -> None:
    """Make the database hold the model's keypoints, each with a descriptor where one is found, and its pairs.

    Nothing is done for the workspace of a run, and nothing twice. The photos are described in the database.

    Raises:
        InputError: descriptors were found for too few points of the model.
    """
    if given.workspace:
        return
    has_descriptors = bool(database.num_keypoints())
    found = total = 0
    for image in _images(given):
        xy = _positions(image)
        if not has_descriptors:
            database.put_features(image.name, xy, None)
            continue
        keypoints, descriptors = database.features(image.name)
        if len(keypoints) < len(xy) or not np.array_equal(keypoints[: len(xy), :2], xy):
            keypoints, descriptors = _joined(xy, keypoints, descriptors)
            database.put_features(image.name, keypoints, descriptors)
        seen = np.array([p.has_point3D() for p in image.points2D], bool)
        described = np.asarray(descriptors[: len(xy)].any(axis=1), bool)
        found, total = found + int((described & seen).sum()), total + int(seen.sum())
    if has_descriptors:
        session.workspace.events.emit("describe", "found_again", observations=total, found=found)
        if found < _MIN_FOUND * total:
            raise InputError(
                f"of {total} observations in {given.root} only {found} lie at keypoints of this matcher: new "
                "photos would hardly find the model's points",
                hint="give the model's own database: --database FILE",
            )
    _write_pairs(given, database)


def _images(given: GivenModel) -> Iterator[pycolmap.Image]:
    for model in given.models:
        for image_id in sorted(model.reg_image_ids()):
            yield model.image(image_id)


def _positions(image: pycolmap.Image) -> Keypoints:
    return np.array([point.xy for point in image.points2D], np.float32).reshape(-1, 2)


def _read(path: Path) -> dict[str, tuple[Keypoints, Descriptors]]:
    """SIFT keypoints and descriptors of somebody's database, by name; images without any are left out.

    Never by pycolmap, which would write to the file.
    """
    try:
        with open_read_only(path) as db:
            check_database(db, path)
        database = FeatureDatabase(path, read_only=True)
        found = {name: database.features(name) for name in database.num_keypoints()}
    except (WorkspaceError, sqlite3.DatabaseError) as error:
        raise InputError(f"{path} is not a COLMAP database: {error}") from error
    return {name: features for name, features in found.items() if features[1].shape[1:] == (128,)}


def _joined(xy: Keypoints, keypoints: Keypoints, descriptors: Descriptors) -> tuple[Keypoints, Descriptors]:
    """The keypoints of a model at their places, first, and those that were found elsewhere after them.

    A keypoint of the model where none is found has an empty descriptor, which matches nothing.
    """
    of_model, of_found = _same_places(xy, keypoints[:, :2])
    rows = np.zeros((len(xy), max(keypoints.shape[1], 4)), np.float32)
    rows[:, 2] = 1  # COLMAP's shape of a keypoint: scale, or an affinity of which 1, 0, 0, 1 is the identity
    rows[:, -1] = 1 if rows.shape[1] == 6 else 0
    values = np.zeros((len(xy), 128), np.uint8)
    rows[of_model, : keypoints.shape[1]] = keypoints[of_found]
    values[of_model] = descriptors[of_found]
    rows[:, :2] = xy
    left = np.setdiff1d(np.arange(len(keypoints)), of_found)
    return np.concatenate((rows, keypoints[left])), np.concatenate((values, descriptors[left]))


def _same_places(model: Keypoints, found: Keypoints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both that lie in the same place, nearest first, each row once."""
    if not len(model) or not len(found):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(model) == len(found) and np.abs(model - found).max() < _EQUAL_PX:
        return np.arange(len(model)), np.arange(len(model))
    # Several orientations of one keypoint lie in one place.
    nearest = cKDTree(found).query(model, k=min(4, len(found)), distance_upper_bound=_SAME_PLACE_PX)
    distance, near = (np.asarray(part).reshape(len(model), -1) for part in nearest)
    rows, ranks = np.nonzero(np.isfinite(distance))
    order = np.lexsort((near[rows, ranks], rows, distance[rows, ranks]))
    taken_model, taken_found = set[int](), dict[int, int]()
    for row, rank in zip(rows[order].tolist(), ranks[order].tolist(), strict=True):
        other = int(near[row, rank])
        if row not in taken_model and other not in taken_found:
            taken_model.add(row)
            taken_found[other] = row
    others = np.array(sorted(taken_found), np.int64)
    return np.array([taken_found[other] for other in others.tolist()], np.int64), others


def _write_pairs(given: GivenModel, database: FeatureDatabase) -> None:
    ids = database.image_ids()
    known = database.matched_pairs()
    if any(pair.a in given.cameras and pair.b in given.cameras for pair in known):
        return
    with pycolmap.Database.open(database.path) as db:
        for model in given.models:
            for a, b, matches in _covisible(model):
                first, second = ids[model.image(a).name], ids[model.image(b).name]
                db.write_matches(first, second, matches)
                db.write_two_view_geometry(first, second, _geometry(model, a, b, matches))


def _covisible(model: pycolmap.Reconstruction) -> Iterator[tuple[int, int, NDArray[np.uint32]]]:
    """Photos that share points, with the keypoints that observe them; of each its closest partners."""
    shared: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for point_id in sorted(model.point3D_ids()):
        seen = {e.image_id: e.point2D_idx for e in model.point3D(point_id).track.elements}
        for a, b in combinations(sorted(seen), 2):
            shared.setdefault((a, b), []).append((seen[a], seen[b]))
    partners = Counter[int]()
    for a, b in sorted(shared, key=lambda pair: (-len(shared[pair]), pair)):
        few = min(partners[a], partners[b]) < _PARTNERS
        if few and len(shared[a, b]) >= MIN_NUM_INLIERS:
            partners.update((a, b))
            yield a, b, np.array(shared[a, b], np.uint32)


def _geometry(
    model: pycolmap.Reconstruction, a: int, b: int, matches: NDArray[np.uint32]
) -> pycolmap.TwoViewGeometry:
    images = model.image(a), model.image(b)
    b_from_a = images[1].cam_from_world() * images[0].cam_from_world().inverse()
    geometry = pycolmap.TwoViewGeometry()
    geometry.config = int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED)
    geometry.cam2_from_cam1 = b_from_a
    geometry.E = pycolmap.essential_matrix_from_pose(b_from_a)
    cameras = [model.camera(image.camera_id) for image in images]
    if not any(camera.is_spherical() for camera in cameras):
        k_a, k_b = (camera.calibration_matrix() for camera in cameras)
        geometry.F = np.linalg.inv(k_b).T @ geometry.E @ np.linalg.inv(k_a)
    geometry.inlier_matches = matches
    return geometry
