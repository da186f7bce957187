"""Models at true poses, whose points are triangulated from the pairs of a database.

A fit on models of mappers alone learns that right models contradict few pairs: of a collection in which every
mapper folds, it sees no right one. There true poses contradict many false pairs.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pycolmap

_MIN_IMAGES = 5


def true_model(truth: Path, database: Path, photos: Path, out: Path) -> None:
    """Writes the model of all images with known poses to `out`/0, which stays empty if there are few.

    Args:
        truth: cameras and poses of photos, as `gt.json` of rendered collections.
        database: with verified pairs of these photos.
        photos: their folder.
        out: a new folder.
    """
    known = json.loads(truth.read_text(encoding="utf-8"))
    unfinished = out.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "0").mkdir(parents=True)
    copy, model = unfinished / "database.db", pycolmap.Reconstruction()
    shutil.copyfile(database, copy)
    with pycolmap.Database.open(copy) as db:
        for image in sorted(db.read_all_images(), key=lambda one: str(one.name)):
            if image.name not in known["images"]:
                continue
            if image.camera_id not in model.cameras:
                stored = db.read_camera(image.camera_id)
                camera = pycolmap.Camera(**known["cameras"][image.name], camera_id=image.camera_id)
                camera.rescale(stored.width, stored.height)
                db.update_camera(camera)
                model.add_camera_with_trivial_rig(camera)
            pose = known["images"][image.name]
            keypoints = db.read_keypoints(image.image_id)[:, :2].astype(np.float64)
            fresh = pycolmap.Image(name=image.name, camera_id=image.camera_id, image_id=image.image_id)
            fresh.points2D = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in keypoints])
            rotation = pycolmap.Rotation3d(np.array(pose["R_cw"]))
            model.add_image_with_trivial_frame(fresh, pycolmap.Rigid3d(rotation, np.array(pose["t_cw"])))
    if model.num_images() >= _MIN_IMAGES:
        pycolmap.triangulate_points(model, copy, photos, unfinished / "0", clear_points=True)
    copy.unlink()
    unfinished.replace(out)
