"""Every reader of files from outside, with a sound file of its kind: one row each."""

import json
from collections.abc import Callable
from pathlib import Path

from .reader import Reader, write_model
from .readers_of_markers import MARKERS
from .readers_of_runs import RUNS
from .readers_of_weights import WEIGHTS


def _text(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / name).write_text(text, encoding="utf-8")

    return write


def _use_model(folder: Path) -> None:
    from sfm.colmap.model_files import read_models
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


def _photo_intrinsics(folder: Path) -> None:
    from sfm.ingest.photo_intrinsics import read_photo_intrinsics

    read_photo_intrinsics(folder / "intrinsics.txt")


def _rig_config(folder: Path) -> None:
    from sfm.ingest.rigs import check_rig_photos, read_rig_config

    rigs = read_rig_config(folder / "rig.json")
    check_rig_photos(folder / "rig.json", rigs, ("l/1.jpg", "r/1.jpg"))


def _pairs(folder: Path) -> None:
    from retrieval.metadata_pairs import from_pairs_file

    from_pairs_file(folder / "pairs.txt", ("a.jpg", "b b.jpg", "c.jpg"))


def _config(folder: Path) -> None:
    from sfm.config.loading import load_config

    load_config(next(folder.iterdir()))


def _database(folder: Path) -> None:
    import pycolmap

    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 2, 2
    options.num_points3D, options.num_points2D_without_point3D, options.prior_position = 5, 1, True
    folder.mkdir(parents=True)
    with pycolmap.Database.open(folder / "theirs.db") as db:
        pycolmap.synthesize_dataset(options, db)


def _map(folder: Path) -> None:
    import pycolmap

    from sfm.colmap.database import FeatureDatabase
    from sfm.mapping.scene.pair_matches import PairMatches
    from sfm.mapping.scene.view_graph import ViewGraph
    from sfm.pipelines.map_database import collection_of, copy_checked

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


def _manifest(folder: Path) -> None:
    from sfm.ingest.discover import FoundFile
    from sfm.ingest.examine import Examined, Shelf
    from sfm.ingest.manifest import Manifest
    from sfm.types import Exif

    shelf = Shelf(folder, 64)
    photo = FoundFile("a.jpg", folder / "a.jpg", 10, 20)
    manifest = Manifest(shelf)
    if not (folder / "images.json").is_file():
        folder.mkdir(parents=True)
        exif = Exif(make="m", model="n", focal_px=500.0, latitude_deg=1.0, longitude_deg=2.0)
        manifest.set_photo(photo, Examined("0a", 64, 48, 1, exif, "d", ""))
        manifest.save()
        shelf.thumbnail("0a").parent.mkdir()
        shelf.thumbnail("0a").write_bytes(b"")
    known = manifest.photo(photo)
    if isinstance(known, Examined):
        assert known.width * known.height >= 0
        float(known.exif.focal_px or 0)
    manifest.mask(folder / "images.json")


def _index(folder: Path) -> None:
    import numpy as np

    from retrieval.codebook import Codebook
    from retrieval.index import RetrievalIndex
    from retrieval.index_file import AsmkOptions

    if not folder.exists():
        rng = np.random.default_rng(0)
        words = rng.standard_normal((4, 8)).astype(np.float32)
        found = {f"{i}.jpg": rng.standard_normal((6, 8)).astype(np.float32) for i in range(3)}
        index = RetrievalIndex(Codebook(words), AsmkOptions(), source="x")
        index.add(found)
        index.save(folder)
        Codebook(words).save(folder / "words.safetensors")
    Codebook.load(folder / "words.safetensors")
    index = RetrievalIndex.load(folder, source="x")
    for name in index.names:
        index.query(name, 2)


def _pair_store(folder: Path) -> None:
    import numpy as np

    from sfm.mast3r.values import DenseMatches, ViewDepth
    from sfm.matching.dense.inference.pair_store import PairResult, PairStore

    if not folder.exists():
        folder.mkdir(parents=True)
        xy, one = np.ones((5, 2), np.float32), np.ones(5, np.float32)
        depth = ViewDepth(np.ones((3, 4), np.float32), np.ones((3, 4), np.float32), 2, 500.0)
        results = {("0a", "0b"): PairResult(DenseMatches(xy, xy, one), "", depth, None)}
        results["0a", "0c"] = PairResult(DenseMatches(xy[:0], xy[:0], one[:0]), "few")
        PairStore(folder).add(results)
    store = PairStore(folder)
    for key in (("0a", "0b"), ("0a", "0c")):
        store.why(key)
        if key in store:
            store.get(key)
    for content in store.depth_contents():
        store.depths(content)


def _aligned_depth(folder: Path) -> None:
    import numpy as np

    from sfm.global_alignment.sparse.dense import DenseView
    from sfm.matching.dense.depth.aligned_depth import AlignedDepthFiles, DepthOrigin

    files = AlignedDepthFiles(folder)
    if not folder.exists():
        flat = np.ones((4, 6))
        view = DenseView(flat, flat, 5.0, (3.0, 2.0), np.eye(3), np.zeros(3))
        files.put({"0a": view, "0b": view}, DepthOrigin("net", "licence"))
    (key,) = (path.name for path in folder.iterdir())
    for content in ("0a", "0b"):
        files.origin(key, content)
        found = files.view(key, content)
        assert found is None or found.points().shape == (*found.depth.shape, 3)


def _exported_depth(folder: Path) -> None:
    import numpy as np
    import pycolmap

    from sfm.exports.exported_depth import read_exported_depth

    pose = pycolmap.Rigid3d(pycolmap.Rotation3d(), np.array([0.0, 1, 2]))
    camera = pycolmap.Camera.create_from_model_name(1, "PINHOLE", 9.0, 12, 8)
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(camera)
    model.add_image_with_trivial_frame(pycolmap.Image("a.jpg", np.zeros((0, 2)), 1, 1), pose)
    if not folder.exists():
        for part, value in (("depth", 2), ("confidence", 3)):
            (folder / part).mkdir(parents=True)
            np.save(folder / part / "a.npy", np.full((4, 6), value, np.float32))
        views = {"views": {"a.jpg": {"file": "a"}}, "min_confidence": 1.5, "depth_from": "alignment"}
        (folder / "views.json").write_text(json.dumps(views))
        grid = {"scale": [2.0, 2.0], "offset": [0.0, 0.0]}
        about = {"photo_from_pixel": grid, "cam_from_world": pose.matrix().tolist()}
        (folder / "depth" / "a.json").write_text(json.dumps(about))
    xy, xyz = read_exported_depth(folder).points(model.image(1), camera, 100)
    assert len(xy) == len(xyz)
    assert np.isfinite(xyz).all()


def _photos(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (10, 12, 3), np.uint8)
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0110], exif[0x010F], exif[0x0112] = "model", "make", 6
    exif.get_ifd(0x8769).update({0x920A: 5.5, 0xA405: 28, 0x9003: "2020:01:02 03:04:05"})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 1.0, 2.0), 3: "E", 4: (8.0, 1.0, 2.0), 5: b"\0", 6: 400.0})
    picture.save(folder / "a.jpg", exif=exif)
    picture.save(folder / "b.png", exif=exif)
    picture.save(folder / "c.tif", exif=exif)
    picture.convert("L").save(folder / "mask.png")


def _examine(folder: Path) -> None:
    import warnings

    from PIL import Image

    from sfm.ingest.decode import UnusablePhotoError, open_photo, stored_size
    from sfm.ingest.discover import found_file
    from sfm.ingest.examine import Shelf, examine
    from sfm.ingest.exif import read_metadata
    from sfm.ingest.memory import MemoryBudget

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for name in ("a.jpg", "b.png", "c.tif"):
            examine(found_file(name, folder / name), Shelf(folder / "shelf", 32), MemoryBudget(10**9))
            try:
                with open_photo(folder / name) as photo:
                    read_metadata(photo, size=stored_size(photo))
            except (OSError, UnusablePhotoError):
                continue


def _mask(folder: Path) -> None:
    import shutil

    from sfm.ingest.examine import Shelf
    from sfm.ingest.manifest import Manifest
    from sfm.ingest.masks import Maskable, find_masks

    masks = folder / "masks"
    masks.mkdir(exist_ok=True)
    shutil.copyfile(folder / "mask.png", masks / "a.jpg.png")
    photo = Maskable("a.jpg", "a.jpg", folder / "a.jpg", (12, 10), 1)
    manifest = Manifest(Shelf(folder / "shelf", 32))
    find_masks([photo], masks, manifest, cache_dir=folder / "cache", threads=1)


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
    "binary model": Reader(write_model, _use_model, ("*.bin",)),
    "binary model of three files": Reader(lambda f: write_model(f, old=True), _use_model, ("*.bin",)),
    "text model": Reader(lambda f: write_model(f, text=True), _use_model, ("*.txt",)),
    "ground truth": Reader(_text("gt.json", json.dumps(_TRUTH)), _ground_truth),
    "ground truth model": Reader(write_model, _ground_truth, ("images.bin",)),
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
    "intrinsics of photos": Reader(
        _text(
            "intrinsics.txt",
            "# photo\na/1.jpg 400 410 300 200 600 400\n2.jpg 400 400 300 200 600.0 400.0\n"
            "3.jpg SIMPLE_RADIAL 600 400 410 300 200 -0.03\n",
        ),
        _photo_intrinsics,
    ),
    "rig config": Reader(_text("rig.json", json.dumps(_RIGS)), _rig_config),
    "pair list": Reader(
        _text("pairs.txt", "# pairs\na.jpg c.jpg\na.jpg\tb b.jpg\nc.jpg b b.jpg\n"),
        _pairs,
        documented=(_retrieval_error(),),
    ),
    "database": Reader(_database, _map, slowness=4),
    **RUNS,
    "manifest": Reader(_manifest, _manifest, ("images.json",)),
    "retrieval index": Reader(_index, _index, ("*.json", "*.safetensors"), documented=(_retrieval_error(),)),
    "aligned depth": Reader(_aligned_depth, _aligned_depth, ("*/*/*.safetensors",)),
    "exported depth": Reader(_exported_depth, _exported_depth, ("views.json", "depth/*.json", "*/*.npy")),
    "pair store": Reader(_pair_store, _pair_store, ("*.safetensors",)),
    "photos": Reader(_photos, _examine, ("a.jpg", "b.png", "c.tif")),
    "mask": Reader(_photos, _mask, ("mask.png",)),
    "configuration": Reader(
        _text(
            "c.yaml",
            "photos: a\noutput: b\nrun: {seed: 3}\nregister:\n  mapper: graph\nretrieval:\n  mode: pairs\n",
        ),
        _config,
    ),
    **MARKERS,
    **WEIGHTS,
}
