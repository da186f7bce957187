"""Poses by `sfm localize` beside the truth of a benchmark, or as visuallocalization.net takes them.

    python tools/bench/visloc.py LAYOUT DIR --stage FOLDER [--pairs DIR/pairsfile/query/FILE.txt]
    sfm run FOLDER/map -o MODEL register.poses=FOLDER/poses           # where FOLDER/poses is there
    sfm localize MODEL FOLDER/query -o OUT --dense --intrinsics FOLDER/intrinsics.txt
    python tools/bench/visloc.py LAYOUT DIR OUT [OUT2...]             # figures of each, one table as JSON
    python tools/bench/visloc.py LAYOUT DIR OUT --submission poses.txt  # NAME qw qx qy qz tx ty tz

LAYOUT is kapture, aachen, inloc, cambridge, 7scenes or rendered; of the last three DIR is one scene. FOLDER
receives
  query/, map/    links to the photos
  poses/          a COLMAP model of the map's poses where their cameras are known; else map.json, for
                  `sfm align MODEL --to FOLDER/map.json`
  intrinsics.txt  those of queries, where they are known
  pairs.txt       kapture's `query, map, score`, for `sfm localize ... retrieval.mode=pairs
                  retrieval.pairs_file=FOLDER/pairs.txt`, in place of our own retrieval
Aachen's map is the COLMAP model that it comes with (`sfm localize DIR/3D-models/... --images
DIR/images_upright`); 7-Scenes is localised with one partner (`--partners 1`).

MODEL must stand in the benchmark's frame. Queries without a pose count as beyond every threshold.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pycolmap
from harness.arguments import ending_on_errors, file_to_write, folder_to_write, program
from photo_sets.kapture import Record, load_pairs
from photo_sets.scene import need_photos
from photo_sets.staging import link_photo, truth_content
from photo_sets.visloc import LAYOUTS, Benchmark, Photos, load_visloc

from sfm.errors import InputError
from sfm.evaluation import GroundTruth
from sfm.evaluation.ground_truth import is_rotation
from sfm.untrusted.documents import fits, read_json
from sfm.untrusted.names import checked_name, place_below

THRESHOLDS = ((0.1, 1.0), (0.25, 2.0), (0.5, 5.0), (5.0, 10.0))
"""Metres and degrees."""
_STAGED = "staged.json"
"""Marks a staged folder: the numbers of its photos."""
Poses = Mapping[str, pycolmap.Rigid3d]


def main() -> None:
    """Read, then stage, or score and print."""
    options = _parse()
    with ending_on_errors():
        benchmark = load_visloc(options.layout, options.folder)
        records = benchmark.queries.records
        if options.stage is not None:
            stage(benchmark, options.stage, load_pairs(options.pairs) if options.pairs else [])
        found = {str(out): read_poses(out / "poses.json", records) for out in options.outputs}
    if options.submission is not None:
        options.submission.write_text(submission(found[str(options.outputs[0])]), encoding="utf-8")
    if found:
        print(json.dumps({out: figures(poses, records) for out, poses in found.items()}, indent=1))


def stage(benchmark: Benchmark, folder: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Write what `sfm run` and `sfm localize` take; pairs of other photos than these are left out.

    Raises:
        InputError: a photo is missing, none of the pairs is of these photos, or the folder holds something
            else.
    """
    queries, mapping = benchmark.queries, benchmark.mapping
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _STAGED).is_file():
        raise InputError(f"{folder} is not empty, and was not staged here", hint="name a new or empty folder")
    _link_all(queries, folder / "query")
    counts = {"queries": len(queries.records), "map": len(mapping.records) if mapping else 0}
    (folder / _STAGED).write_text(json.dumps(counts) + "\n", encoding="utf-8")
    print(f"{folder}: {json.dumps(counts)}", file=sys.stderr)
    if known := {name: one.camera for name, one in queries.records.items() if one.camera is not None}:
        lines = (
            f"{name} {c.model_name} {c.width} {c.height} {' '.join(map(repr, c.params.tolist()))}\n"
            for name, c in known.items()
        )
        (folder / "intrinsics.txt").write_text("".join(lines), encoding="utf-8")
    if mapping is not None:
        _link_all(mapping, folder / "map")
        if all(one.camera is not None for one in mapping.records.values()):
            _write_model(mapping.records, folder / "poses")
        else:
            poses = {name: one.cam_from_world for name, one in mapping.records.items() if one.cam_from_world}
            content = truth_content(GroundTruth(poses, None, None))
            (folder / "map.json").write_text(json.dumps(content), encoding="utf-8")
    if pairs:
        there = None if mapping is None else mapping.records
        kept = [(q, m) for q, m in pairs if q in queries.records and (there is None or m in there)]
        if not kept:
            raise InputError("none of the pairs is of a query and a photo of the map")
        (folder / "pairs.txt").write_text("".join(f"{q}\t{m}\n" for q, m in kept), encoding="utf-8")


def _link_all(photos: Photos, folder: Path) -> None:
    for name in photos.records:
        checked_name(name, where=photos.folder)
    need_photos(photos.folder, photos.records, photos.folder)
    for name in photos.records:
        link_photo(photos.folder / name, place_below(folder, name))


def _write_model(records: Mapping[str, Record], folder: Path) -> None:
    """A COLMAP model of cameras and poses, as text."""
    model, ids = pycolmap.Reconstruction(), dict[str, int]()
    for number, (name, one) in enumerate(records.items(), start=1):
        assert one.camera is not None
        assert one.cam_from_world is not None
        about = {**one.camera.todict(), "camera_id": 0}
        if str(about) not in ids:
            ids[str(about)] = len(ids) + 1
            model.add_camera_with_trivial_rig(
                pycolmap.Camera({**about, "camera_id": ids[str(about)], "has_prior_focal_length": True})
            )
        image = pycolmap.Image(name, np.zeros((0, 2)), ids[str(about)], number)
        model.add_image_with_trivial_frame(image, one.cam_from_world)
    folder.mkdir(parents=True, exist_ok=True)
    model.write_text(folder)


def read_poses(path: Path, records: Mapping[str, Record]) -> Poses:
    """Poses of the queries that have one.

    Raises:
        InputError: it is missing or malformed, or names a photo that is no query.
    """
    content = read_json(path)
    if not fits(content, {"queries": [dict]}):
        raise InputError(f"{path} is no poses.json of sfm localize", hint="give its OUT")
    found: dict[str, pycolmap.Rigid3d] = {}
    seen: set[str] = set()
    for query in content["queries"]:
        name = query.get("name")
        if not isinstance(name, str) or name not in records or name in seen:
            raise InputError(f"{path}: {name!r} is no query, or occurs twice")
        seen.add(name)
        if query.get("state") == "localised":
            try:
                rotation, place = (np.array(query[key], float) for key in ("R_cw", "t_cw"))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                raise InputError(f"{path}: {name}: R_cw or t_cw is not given in numbers") from error
            if rotation.shape != (3, 3) or not is_rotation(rotation) or place.shape != (3,):
                raise InputError(f"{path}: {name}: R_cw is no rotation, or t_cw no vector of three")
            if not np.isfinite(place).all():
                raise InputError(f"{path}: {name}: t_cw is not finite")
            found[name] = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), place)
    return found


def figures(poses: Poses, records: Mapping[str, Record]) -> dict[str, object]:
    """Median errors of the localised, and shares of all queries within the thresholds; those with truth."""
    truth = {n: r.cam_from_world for n, r in records.items() if r.cam_from_world is not None}
    errors = np.full((len(truth), 2), np.inf)
    for row, (name, true) in enumerate(truth.items()):
        if name in poses:
            apart = poses[name].inverse().translation - true.inverse().translation
            turn = np.degrees((true.rotation * poses[name].rotation.inverse()).angle())
            errors[row] = np.linalg.norm(apart), turn
    there = errors[np.isfinite(errors).all(axis=1)]
    medians = np.median(there, axis=0).tolist() if len(there) else [None, None]
    within = {
        f"{m:g} m, {deg:g} deg": float((errors <= (m, deg)).all(axis=1).mean()) for m, deg in THRESHOLDS
    }
    return {
        "queries": len(records),
        "localised": len(poses),
        "with_truth": len(truth),
        "median_error_m": medians[0],
        "median_error_deg": medians[1],
        "within": within if truth else None,
    }


def submission(poses: Poses) -> str:
    """A line a query: the name of its file without folders, quaternion and translation, world to camera."""
    lines = []
    for name, pose in sorted(poses.items()):
        x, y, z, w = pose.rotation.quat
        values = " ".join(f"{float(value):.9g}" for value in (w, x, y, z, *pose.translation))
        lines.append(f"{Path(name).name} {values}\n")
    return "".join(lines)


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    parser.add_argument("layout", choices=tuple(LAYOUTS), metavar="LAYOUT", help=", ".join(LAYOUTS))
    parser.add_argument("folder", type=Path, metavar="DIR", help="of the benchmark, or of one scene")
    parser.add_argument("outputs", type=Path, nargs="*", metavar="OUT", help="of sfm localize")
    parser.add_argument("--stage", type=folder_to_write, metavar="FOLDER", help="photos, poses, intrinsics")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="with --stage: kapture's pairs of queries")
    parser.add_argument("--submission", type=file_to_write, metavar="FILE", help="poses of the first OUT")
    options = parser.parse_args()
    if not options.outputs and (options.stage is None or options.submission is not None):
        parser.error("OUT of sfm localize is needed, or --stage FOLDER")
    if options.pairs is not None and options.stage is None:
        parser.error("--pairs goes with --stage")
    return options


if __name__ == "__main__":
    main()
