"""Poses by one photo on the Map-free benchmark: a submission, and its figures where truth is public; JSON.

    python tools/bench/mapfree.py DIR --out submission.zip            # val: localise, then score
    python tools/bench/mapfree.py DIR --split test --out test.zip     # to be scored by the benchmark's site
    python tools/bench/mapfree.py DIR --score submission.zip          # score poses of any engine

DIR holds val/ and test/ as the site ships them. Queries without a pose are left out of the submission; their
confidence is the number of matches that agree.
"""

import argparse
import json
import sys
from collections.abc import Sequence, Set
from pathlib import Path

from harness.arguments import add_overrides, ending_on_errors, file_to_write, program
from metrics.map_free import Scored, figures, scored
from photo_sets.mapfree import SPLITS, MapFreeScene, load_mapfree, scene_folders
from photo_sets.mapfree_submission import Estimate, Submission, read_submission, write_submission

from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.errors import InputError
from sfm.pipelines.localize_photo import LocalisedByPhoto, localize_photo, opened_network

PUBLISHED = {
    "vcre_90px_auc": 0.933,
    "vcre_45px_auc": 0.817,
    "median_error_m": 0.37,
    "median_error_deg": 2.2,
}
"""Of MASt3R on the test scenes, as its authors report; not measured here."""


def main() -> None:
    """Parse, localise, score, print."""
    options = _parse()
    with ending_on_errors():
        scenes = [load_mapfree(path) for path in scene_folders(options.root, options.split, options.scenes)]
        if options.score is not None:
            submission = read_submission(options.score)
            known = {path.name for path in scene_folders(options.root, options.split, ())}
            _require_scenes(submission, known, options.score)
        else:
            config = load_config(overrides=options.option)
            submission = _localised(scenes, options.root, config)
            write_submission(options.out, submission)
        without = [scene.name for scene in scenes if not submission.get(scene.name)]
        printed: dict[str, object] = {
            "split": options.split,
            "scenes": len(scenes),
            "scenes_without_poses": without,
        }
        if all(scene.has_truth for scene in scenes):
            printed |= {"measured": figures(_scored(scenes, submission)), "published": PUBLISHED}
        elif options.score is not None:
            raise InputError(
                f"{options.root / options.split} has no poses.txt to score by",
                hint="the truth of test is not public: submit the zip on the benchmark's site",
            )
    print(json.dumps(printed, indent=1))


def _localised(scenes: Sequence[MapFreeScene], root: Path, config: Config) -> Submission:
    """Poses of all queries that have one; the network is loaded once."""
    network = opened_network(config)
    found: dict[str, dict[str, Estimate]] = {}
    for scene in scenes:
        done = localize_photo(
            scene.reference,
            [scene.folder / query.name for query in scene.queries],
            intrinsics=scene.intrinsics,
            root=root,
            config=config,
            network=network,
        )
        estimates = found[scene.name] = {}
        for query, result in zip(scene.queries, done.queries, strict=True):
            if isinstance(result, LocalisedByPhoto):
                pose = result.pose
                estimates[query.name] = Estimate(pose.cam_from_world, float(pose.num_inliers))
            else:
                print(f"{scene.name}/{query.name}: {result.reason}", file=sys.stderr)
        print(f"{scene.name}: {len(estimates)} of {len(scene.queries)} localised", file=sys.stderr)
    return found


def _require_scenes(submission: Submission, known: Set[str], path: Path) -> None:
    """Refuse a submission without any scene, or with one that is not known."""
    if not submission:
        raise InputError(f"{path} holds no scene", hint="a submission holds pose_sNNNNN.txt for each scene")
    if foreign := sorted(submission.keys() - known):
        raise InputError(
            f"{path} has poses of {foreign[0]}, which is none of the {len(known)} scenes of the split",
            hint="name its --split",
        )


def _scored(scenes: Sequence[MapFreeScene], submission: Submission) -> list[Scored]:
    """Each scored query of each scene, whether it has a pose or not."""
    found = []
    for scene in scenes:
        estimates = submission.get(scene.name, {})
        for query in scene.queries:
            estimate = estimates.get(query.name)
            if estimate is None or query.cam_from_world is None:
                found.append(Scored(scene.name))
                continue
            truth = query.cam_from_world
            pose, confidence = estimate.cam_from_world, estimate.confidence
            found.append(scored(scene.name, truth, pose, confidence, query.calibration, query.size))
    return found


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    parser.add_argument("root", type=Path, metavar="DIR", help="folder that holds val/ and test/")
    parser.add_argument("--split", choices=SPLITS, default="val")
    parser.add_argument("--scenes", type=lambda text: tuple(text.split(",")), default=(), metavar="s1,s2")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=file_to_write, metavar="ZIP", help="localise, and write the submission")
    what.add_argument("--score", type=Path, metavar="ZIP", help="score this submission instead")
    add_overrides(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
