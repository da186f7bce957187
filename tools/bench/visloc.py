"""Poses by `sfm localize` beside the truth of kapture queries, or as visuallocalization.net takes them.

    sfm localize MODEL PHOTOS -o OUT                                  # and once more with --dense -o OUT2
    python tools/bench/visloc.py QUERY OUT OUT2                       # figures of each, one table as JSON
    python tools/bench/visloc.py QUERY OUT --submission poses.txt     # NAME qw qx qy qz tx ty tz

QUERY holds `sensors/`. MODEL must stand in its frame. Queries without a pose count as beyond every threshold.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pycolmap
from harness.arguments import ending_on_errors, file_to_write, program
from photo_sets.kapture import Record, load_kapture

from sfm.errors import InputError
from sfm.evaluation.ground_truth import is_rotation
from sfm.untrusted.documents import fits, read_json

THRESHOLDS = ((0.1, 1.0), (0.25, 2.0), (0.5, 5.0), (5.0, 10.0))
"""Metres and degrees."""
Poses = Mapping[str, pycolmap.Rigid3d]


def main() -> None:
    """Read, score, print."""
    options = _parse()
    with ending_on_errors():
        records = load_kapture(options.query)
        found = {str(out): read_poses(out / "poses.json", records) for out in options.outputs}
    if options.submission is not None:
        options.submission.write_text(submission(found[str(options.outputs[0])]), encoding="utf-8")
    print(json.dumps({out: figures(poses, records) for out, poses in found.items()}, indent=1))


def read_poses(path: Path, records: Mapping[str, Record]) -> Poses:
    """Poses of the queries that have one.

    Raises:
        InputError: it is missing or malformed, or names a photo that is no query.
    """
    content = read_json(path)
    if not fits(content, {"queries": [dict]}):
        raise InputError(f"{path} is no poses.json of sfm localize", hint="give its OUT")
    found: dict[str, pycolmap.Rigid3d] = {}
    for query in content["queries"]:
        name = query.get("name")
        if name not in records or name in found:
            raise InputError(f"{path}: {name!r} is no query, or occurs twice")
        if query.get("state") == "localised":
            try:
                rotation, place = (np.array(query[key], float) for key in ("R_cw", "t_cw"))
            except (KeyError, TypeError, ValueError) as error:
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
    parser.add_argument("query", type=Path, metavar="QUERY", help="folder that holds sensors/")
    parser.add_argument("outputs", type=Path, nargs="+", metavar="OUT", help="of sfm localize")
    parser.add_argument("--submission", type=file_to_write, metavar="FILE", help="poses of the first OUT")
    return parser.parse_args()


if __name__ == "__main__":
    main()
