"""Canonical keypoints beside naive merging, on the same dense matches: tracks, poses and seconds.

    python tools/bench/dense_tracks.py [--photos 10] [--reach 4] [--seeds 3] [--white 0.35] [--json OUT]

The matches are those of a synthetic scene (tests/dense/scenes.py): on whole network pixels, with noise and
with wrong ones. Each way gives keypoints and matches; COLMAP verifies them and maps with known cameras.
Prints one JSON object with the mean of all seeds. `compare` does the same for dense matches of any origin.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pycolmap

from retrieval import Pair
from sfm.dense.keypoints import KeypointOptions, MintedKeypoints, mint_keypoints
from sfm.dense.naive import naive_keypoints
from sfm.dense.track_splitting import components
from sfm.dense.types import DenseMatches
from sfm.evaluation.metrics import auc, pair_errors

Way = Callable[[Mapping[Pair, DenseMatches], Mapping[str, float]], MintedKeypoints]


def canonical(pairs: Mapping[Pair, DenseMatches], photo_px: Mapping[str, float]) -> MintedKeypoints:
    """Canonical keypoints carried through the correspondence fields."""
    return mint_keypoints(pairs, photo_px, {}, KeypointOptions())


def naive(pairs: Mapping[Pair, DenseMatches], photo_px: Mapping[str, float]) -> MintedKeypoints:
    """Whole pixels and union-find; the mapper makes of conflicting tracks what it can."""
    return naive_keypoints(pairs, photo_px)


def naive_dropped(pairs: Mapping[Pair, DenseMatches], photo_px: Mapping[str, float]) -> MintedKeypoints:
    """The same without tracks that have two keypoints in one photo."""
    return naive_keypoints(pairs, photo_px, conflicts="drop")


WAYS: dict[str, Way] = {"canonical": canonical, "naive": naive, "naive, conflicts dropped": naive_dropped}


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of one way."""

    keypoints_per_photo: float
    matches_per_pair: float
    match_track_length: float
    """Keypoints that the matches connect, on average."""
    inlier_ratio: float
    """Of the matches, after COLMAP's verification."""
    registered: int
    points: int
    track_length: float
    """Mean of the model's points."""
    reprojection_error_px: float
    """Mean of the model, photo px."""
    auc_1: float
    """AUC of pose errors up to 1 degree, per cent."""
    auc_01: float
    """Up to 0.1 degree."""
    rotation_median_deg: float
    translation_median_deg: float
    merge_seconds: float
    verify_seconds: float
    map_seconds: float


def compare(
    pairs: Mapping[Pair, DenseMatches],
    photo_px: Mapping[str, float],
    cameras: Mapping[str, pycolmap.Camera],
    truth: Mapping[str, pycolmap.Rigid3d],
    *,
    ways: Mapping[str, Way] = WAYS,
    threads: int = 2,
) -> dict[str, Figures]:
    """Figures of each way.

    Args:
        pairs: dense matches, photo px.
        photo_px: photo px per network px of each photo.
        cameras: true intrinsics of each photo.
        truth: cam_from_world of each photo.
        ways: what makes keypoints of dense matches, by name.
        threads: of verification and mapping.
    """
    figures = {}
    for name, way in ways.items():
        started = time.perf_counter()
        minted = way(pairs, photo_px)
        seconds = time.perf_counter() - started
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = _measure(minted, cameras, truth, Path(folder), seconds, threads)
    return figures


def _measure(
    minted: MintedKeypoints,
    cameras: Mapping[str, pycolmap.Camera],
    truth: Mapping[str, pycolmap.Rigid3d],
    folder: Path,
    merge_seconds: float,
    threads: int,
) -> Figures:
    database = folder / "database.db"
    write_database(database, minted, cameras)
    started = time.perf_counter()
    inliers = verify(database, minted, folder / "pairs.txt")
    verified = time.perf_counter()
    model = largest_model(database, folder, threads)
    finished = time.perf_counter()
    poses = {image.name: image.cam_from_world() for image in model.images.values() if image.has_pose}
    errors = pair_errors(poses, truth, sorted(truth))
    matches = sum(map(len, minted.matches.values()))
    return Figures(
        float(np.mean([len(table) for table in minted.keypoints.values()])),
        matches / max(len(minted.matches), 1),
        match_track_length(minted),
        inliers / max(matches, 1),
        model.num_reg_images(),
        model.num_points3D(),
        model.compute_mean_track_length(),
        model.compute_mean_reprojection_error(),
        auc(errors.pose_deg, 1),
        auc(errors.pose_deg, 0.1),
        float(np.median(errors.rotation_deg)),
        float(np.median(errors.translation_deg)),
        merge_seconds,
        verified - started,
        finished - verified,
    )


def write_database(path: Path, minted: MintedKeypoints, cameras: Mapping[str, pycolmap.Camera]) -> None:
    """A COLMAP database of cameras, keypoints and matches, not yet verified."""
    with pycolmap.Database.open(path) as database:
        ids = {}
        for name in sorted(cameras):
            camera = database.write_camera(cameras[name])
            ids[name] = database.write_image(pycolmap.Image(name=name, camera_id=camera))
            database.write_keypoints(ids[name], minted.keypoints.get(name, np.zeros((0, 2), np.float32)))
        for pair, rows in minted.matches.items():
            database.write_matches(ids[pair.a], ids[pair.b], rows)


def verify(path: Path, minted: MintedKeypoints, list_path: Path) -> int:
    """Two-view geometries of all pairs; the number of inliers."""
    list_path.write_text("".join(f"{pair.a} {pair.b}\n" for pair in minted.matches), encoding="utf-8")
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = 0
    pycolmap.verify_matches(path, list_path, options)
    with pycolmap.Database.open(path) as database:
        return int(sum(database.read_two_view_geometry_num_inliers()[1]))


def largest_model(path: Path, folder: Path, threads: int) -> pycolmap.Reconstruction:
    """COLMAP's incremental mapper with the given intrinsics; an empty model if there is none."""
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed, options.num_threads = 0, threads
    options.ba_refine_focal_length = options.ba_refine_extra_params = False
    options.extract_colors = False
    (folder / "models").mkdir()
    models = pycolmap.incremental_mapping(path, folder, folder / "models", options=options)
    return max(
        models.values(), key=lambda model: int(model.num_reg_images()), default=pycolmap.Reconstruction()
    )


def match_track_length(minted: MintedKeypoints) -> float:
    """Mean number of keypoints in the connected parts of the matches."""
    names = sorted(minted.keypoints)
    sizes = [len(minted.keypoints[name]) for name in names]
    offset = dict(zip(names, np.cumsum([0, *sizes]), strict=False))
    ends = [np.zeros((0, 2), np.int64)]
    for pair, rows in minted.matches.items():
        ends.append(rows.astype(np.int64) + np.array([offset[pair.a], offset[pair.b]]))
    edges = np.concatenate(ends)
    used = np.unique(edges)
    return len(used) / max(len(np.unique(components(sum(sizes), edges[:, 0], edges[:, 1])[used])), 1)


def main() -> None:
    """Compare on synthetic scenes."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from tests.dense.scenes import Noise, make_scene, neighbour_pairs

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument(
        "--reach", type=int, default=4, help="pairs between photos at most so many places apart"
    )
    parser.add_argument("--width", type=int, default=512, help="of the network's images, px")
    parser.add_argument("--arc", type=float, default=100.0, help="that the photos are spread over, degrees")
    parser.add_argument("--white", type=float, default=0.35, help="noise of each match, network px")
    parser.add_argument("--smooth", type=float, default=0.15, help="noise that neighbours share, network px")
    parser.add_argument("--wrong", type=float, default=0.15, help="share of wrong matches")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    size = options.width * 3 // 4, options.width
    scene = make_scene(options.photos, size=size, arc_deg=options.arc, photo_px=(2.0, 3.0))
    cameras = {camera.name: camera.colmap_camera for camera in scene.cameras}
    truth = {camera.name: camera.cam_from_world for camera in scene.cameras}
    noise = Noise(options.white, options.smooth, options.wrong)
    runs = []
    for seed in range(options.seeds):
        pairs = scene.all_matches(neighbour_pairs(scene, options.reach), noise=noise, seed=seed)
        runs.append(compare(pairs, scene.photo_px, cameras, truth, threads=options.threads))
        print(f"seed {seed} done", file=sys.stderr, flush=True)
    result = {
        "photos": options.photos,
        "pairs": len(pairs),
        "dense_matches_per_pair": round(float(np.mean([len(d.confidence) for d in pairs.values()])), 1),
        "noise": asdict(noise),
        "seeds": options.seeds,
        "ways": {name: _mean([asdict(run[name]) for run in runs]) for name in WAYS},
    }
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    print(text)


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}


if __name__ == "__main__":
    main()
