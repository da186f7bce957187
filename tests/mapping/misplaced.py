"""A synthetic scene, and models of it in which some photos stand at another place."""

from pathlib import Path

import numpy as np
import pycolmap

from sfm.mapping.measures.covisibility import predicted_overlaps

from . import synthetic

NUM = 16
PART = set(range(1, 7))
ACROSS = {(i, j) for i in PART for j in range(7, NUM + 1)}


TURN = pycolmap.Rotation3d(np.array([0.0, np.sin(np.pi / 4), 0.0, np.cos(np.pi / 4)]))
AWAY = pycolmap.Sim3d(1.3, TURN, np.array([4.0, 0.0, 2.0]))


def astray(model: pycolmap.Reconstruction, away: pycolmap.Sim3d = AWAY) -> pycolmap.Reconstruction:
    """The model with `PART` and the points that it sees at another place; points are split for that."""
    wrong = pycolmap.Reconstruction(model)
    for point_id in list(wrong.point3D_ids()):
        point = wrong.point3D(point_id)
        ends = [(e.image_id, e.point2D_idx) for e in point.track.elements]
        sides = [[end for end in ends if (end[0] in PART) == inside] for inside in (True, False)]
        xyz = point.xyz.copy()
        wrong.delete_point3D(point_id)
        for side, place in zip(sides, (away * xyz, xyz), strict=True):
            if len(side) >= 2:
                wrong.add_point3D(place, pycolmap.Track([pycolmap.TrackElement(*end) for end in side]))
    for image_id in PART:
        frame = wrong.frame(wrong.image(image_id).frame_id)
        frame.rig_from_world = away.transform_camera_world(frame.rig_from_world)
    return wrong


def folded(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model with `PART` turned about the middle of the points, where other photos stand."""
    middle = np.mean([point.xyz for point in model.points3D.values()], axis=0)
    up = np.linalg.svd(np.array([model.image(i).projection_center() for i in model.reg_image_ids()]) - middle)
    turn = pycolmap.Rotation3d(np.deg2rad(150.0) * up[2][2])
    return astray(model, pycolmap.Sim3d(1.0, turn, middle - turn.matrix() @ middle))


def look_alikes(model: pycolmap.Reconstruction, a: int, b: int, count: int) -> np.ndarray:
    """Matches (count, 2) of keypoints that lie on each other's epipolar lines by the poses of a model."""
    images = model.image(a), model.image(b)
    rays = [
        np.column_stack(
            (
                model.camera(i.camera_id).cam_from_img(np.array([p.xy for p in i.points2D])),
                np.ones(len(i.points2D)),
            )
        )
        for i in images
    ]
    b_from_a = images[1].cam_from_world() * images[0].cam_from_world().inverse()
    x, y, z = b_from_a.translation
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ b_from_a.rotation.matrix()
    lines = rays[0] @ essential.T
    distance = np.abs(lines @ rays[1].T) / np.linalg.norm(lines[:, :2], axis=1)[:, None]
    nearest = np.argmin(distance, axis=1)
    best = np.argsort(distance[np.arange(len(nearest)), nearest])
    _, first = np.unique(nearest[best], return_index=True)
    chosen = best[np.sort(first)][:count]
    return np.column_stack((chosen, nearest[chosen])).astype(np.uint32)


def look_alike_database(
    scene: synthetic.Scene, model: pycolmap.Reconstruction, path: Path, *, tried: bool
) -> Path:
    """The pairs of a scene, but few across: two true ones, four with more matches that speak for `folded`.

    The other pairs across, but those of photos that see the same, were tried in vain, or none was.
    """
    wrong = folded(model)
    seen = _seeing_the_same(model)
    false, true = [(1, 9), (2, 11), (3, 13), (5, 15)], seen[:2]
    assert not {*false} & {*seen}
    database = synthetic.keep_pairs(scene.database, path, (synthetic.all_pairs(NUM) - ACROSS) | {*true})
    with pycolmap.Database.open(scene.database) as all_true, pycolmap.Database.open(database) as db:
        for ids in true:
            geometry = all_true.read_two_view_geometry(*ids)
            geometry.inlier_matches = geometry.inlier_matches[:200]
            db.update_two_view_geometry(*ids, geometry)
        for ids in false:
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            geometry.inlier_matches = look_alikes(wrong, *ids, 150)
            db.write_two_view_geometry(*ids, geometry)
        for ids in sorted(ACROSS - {*false, *seen}) if tried else ():
            db.write_matches(*ids, np.zeros((0, 2), np.uint32))
    return database


def _seeing_the_same(model: pycolmap.Reconstruction) -> list[tuple[int, int]]:
    """Pairs across of which each photo is predicted to see a third of what the other sees, the most first."""
    id_of = {model.image(i).name: i for i in model.reg_image_ids()}
    overlaps = {(id_of[pair.a], id_of[pair.b]): share for pair, share in predicted_overlaps(model).items()}
    return sorted((ids for ids in ACROSS if overlaps.get(ids, 0) >= 0.3), key=lambda ids: -overlaps[ids])
