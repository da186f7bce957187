"""Every reader of files from outside, with a sound file of its kind: one row each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reader:
    """What writes sound files into a new folder, and what reads them."""

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    damage: tuple[str, ...] = ("*.*",)
    """Patterns of the files that are damaged."""
    documented: tuple[type[Exception], ...] = ()
    """Errors that are told apart from those of `sfm.errors` by whoever calls the reader."""


def _text(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")

    return write


def _model(folder: Path, *, text: bool = False, old: bool = False) -> None:
    import pycolmap

    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 2, 2
    options.num_points3D = 8
    model = pycolmap.synthesize_dataset(options)
    folder.mkdir(parents=True)
    if text:
        model.write_text(folder)
    else:
        model.write(folder)
    if old:
        (folder / "rigs.bin").unlink()
        (folder / "frames.bin").unlink()


def _use_model(folder: Path) -> None:
    from sfm.model_files import read_models
    from sfm.report.scene import scene_model

    for model in read_models(folder):
        for image_id in model.reg_image_ids():
            model.image(image_id).cam_from_world().inverse()
        model.update_point_3d_errors()
        model.compute_mean_reprojection_error()
        scene_model(model, {}, max_points=5)


def _ground_truth(folder: Path) -> None:
    from sfm.evaluation import load_ground_truth

    truth = load_ground_truth(folder)
    truth.groups()
    assert truth.min_baseline >= 0


def _positions(folder: Path) -> None:
    from sfm.ingest.positions import Sigmas, read_positions_file, with_heights

    with_heights(
        read_positions_file(next(folder.iterdir()), ("a.jpg", "b.jpg", "c.jpg", "d.jpg"), Sigmas(1, 2))
    )


def _cameras_file(folder: Path) -> None:
    from sfm.ingest.intrinsics import read_cameras_file

    read_cameras_file(folder / "cameras.txt")


def _rig_config(folder: Path) -> None:
    from sfm.ingest.rigs import check_rig_photos, read_rig_config

    rigs = read_rig_config(folder / "rig.json")
    check_rig_photos(folder / "rig.json", rigs, ("l/1.jpg", "r/1.jpg"))


def _pairs(folder: Path) -> None:
    from retrieval.priors import from_pairs_file

    from_pairs_file(folder / "pairs.txt", ("a.jpg", "b b.jpg", "c.jpg"))


def _config(folder: Path) -> None:
    from sfm.config.loading import load_config

    load_config(next(folder.iterdir()))


def _database(folder: Path) -> None:
    import pycolmap

    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 2, 2
    options.num_points3D, options.num_points2D_without_point3D, options.prior_position = 20, 2, True
    folder.mkdir(parents=True)
    with pycolmap.Database.open(folder / "theirs.db") as db:
        pycolmap.synthesize_dataset(options, db)


def _map(folder: Path) -> None:
    import pycolmap

    from sfm.database import FeatureDatabase
    from sfm.database_mapping import collection_of, copy_checked
    from sfm.mapping.evidence.pair_matches import PairMatches
    from sfm.mapping.evidence.view_graph import ViewGraph

    source, copy = folder / "theirs.db", folder / "copy.sqlite"
    before = source.read_bytes()
    try:
        copy_checked(source, copy)
    finally:
        assert source.read_bytes() == before
    database = FeatureDatabase(copy)
    database.pairs()
    database.keypoint_positions()
    database.inlier_matches()
    collection_of(copy)
    ViewGraph.read(copy)
    PairMatches.read(copy)
    with pycolmap.Database.open(copy) as db:
        pycolmap.DatabaseCache.create(db, pycolmap.DatabaseCacheOptions())
        db.read_all_pose_priors()


def _retrieval_error() -> type[Exception]:
    from retrieval.errors import RetrievalError

    return RetrievalError


_IDENTITY = {"R_cw": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "t_cw": [0.5, 0, 1e-3]}
_CAMERA = {"model": "PINHOLE", "width": 40, "height": 30, "params": [30.0, 30.0, 20.0, 15.0]}
_TRUTH = {
    "images": {"a": _IDENTITY, "b": _IDENTITY},
    "unit": "m",
    "components": {"a": "x", "b": "y"},
    "cameras": {"a": _CAMERA, "b": _CAMERA},
    "position_accuracy": 0.02,
    "metres_per_unit": 1,
}
_RIGS = [
    {
        "cameras": [
            {
                "image_prefix": "l/",
                "ref_sensor": True,
                "camera_model_name": "PINHOLE",
                "camera_params": [9, 9, 5, 5],
            },
            {
                "image_prefix": "r/",
                "cam_from_rig_rotation": [1, 0, 0, 0],
                "cam_from_rig_translation": [0.1, 0, 0],
            },
        ]
    }
]

READERS = {
    "binary model": Reader(_model, _use_model, ("*.bin",)),
    "binary model of three files": Reader(lambda f: _model(f, old=True), _use_model, ("*.bin",)),
    "text model": Reader(lambda f: _model(f, text=True), _use_model, ("*.txt",)),
    "ground truth": Reader(_text("gt.json", json.dumps(_TRUTH)), _ground_truth),
    "ground truth model": Reader(_model, _ground_truth, ("images.bin",)),
    "positions": Reader(
        _text(
            "p.csv",
            "# mine\nname,lat,lon,alt,sigma\na.jpg,47.1,8,400,1\nb.jpg,47.2,8,,2\nc.jpg,47,8.1,410,\n",
        ),
        _positions,
    ),
    "positions in metres": Reader(
        _text("p.txt", "a.jpg 1 2 3\nb.jpg 1.5 2 3 0.5\nc.jpg\t1\t2\t4\t0.5\t0.75\n"), _positions
    ),
    "cameras file": Reader(
        _text(
            "cameras.txt",
            "# id\n1 PINHOLE 400 300 310 310 200 150\n2 OPENCV 500 300 310 310 200 150 0 0 0 0\n",
        ),
        _cameras_file,
    ),
    "rig config": Reader(_text("rig.json", json.dumps(_RIGS)), _rig_config),
    "pair list": Reader(
        _text("pairs.txt", "# pairs\na.jpg c.jpg\na.jpg\tb b.jpg\nc.jpg b b.jpg\n"),
        _pairs,
        documented=(_retrieval_error(),),
    ),
    "database": Reader(_database, _map),
    "configuration": Reader(
        _text(
            "c.yaml",
            "photos: a\noutput: b\nrun: {seed: 3}\nregister:\n  mapper: graph\nretrieval:\n  mode: pairs\n",
        ),
        _config,
    ),
}
