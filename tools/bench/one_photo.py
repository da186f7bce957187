"""Poses by one photo on rendered scenes with depth: errors, and whether their covariance is true; JSON.

    python tools/render_scene.py SCENE --depth --seed 1
    python tools/bench/one_photo.py SCENE [SCENE...] --pairs 200

The ground truth answers in place of the network (internal.mast3r.oracle), with its noise. As many pairs are
drawn from each scene that has so many, of those in which the second photo sees --overlap of the first.
`chi2_per_dof` is the mean of e^T C^-1 e / 6 over the poses: 1 where the covariance is true.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from harness.arguments import add_overrides, amount, count, ending_on_errors, program
from scipy.spatial.transform import Rotation

import sfm
from sfm.config.loading import load_config
from sfm.evaluation import load_ground_truth
from sfm.mast3r.oracle.oracle import OraclePredictor, Shown
from sfm.pipelines.localize_photo import LocalisedByPhoto

ESTIMATED, TRUE = "estimated", "true"


@dataclass(frozen=True, slots=True)
class Found:
    """The pose of one pair beside the truth."""

    scene: str
    method: str
    distance_m: float
    error_m: float
    """Between centres."""
    error_deg: float
    chi2_per_dof: float
    sigma_m: float


def main() -> None:
    """Draw, localise, print."""
    options = _parse()
    rng = np.random.default_rng(options.seed)
    found: list[Found] = []
    missing = 0
    with ending_on_errors():
        overlapping = [_overlapping(folder, options.image_size, options.overlap) for folder in options.scenes]
        shares = _shares([len(pairs) for pairs in overlapping], options.pairs)
        if sum(shares) < options.pairs:
            print(f"only {sum(shares)} of {options.pairs} pairs overlap so far", file=sys.stderr)
        for folder, pairs, share in zip(options.scenes, overlapping, shares, strict=True):
            if not share:
                continue
            drawn = sorted(pairs[i] for i in rng.permutation(len(pairs))[:share])
            poses = _poses(folder, drawn, options)
            found += poses
            missing += len(drawn) - len(poses)
            print(f"{folder.name}: {len(poses)} of {len(drawn)} pairs of {len(pairs)}", file=sys.stderr)
    names = sorted({one.scene for one in found})
    printed = {
        "intrinsics": options.intrinsics,
        "image_size": options.image_size,
        "missing": missing,
        "all": _figures(found),
        "scenes": {name: _figures([one for one in found if one.scene == name]) for name in names},
    }
    print(json.dumps(printed, indent=1))


def _shares(there: Sequence[int], wanted: int) -> list[int]:
    """How many pairs to draw of each scene: as many of each, where there are so many."""
    shares = [0] * len(there)
    while sum(shares) < min(wanted, sum(there)):
        open_ones = [i for i, count in enumerate(there) if shares[i] < count]
        shares[min(open_ones, key=lambda i: shares[i])] += 1
    return shares


def _overlapping(folder: Path, size: int, least: float) -> list[tuple[str, str]]:
    """Pairs of photos, each pair one way round, by turns."""
    oracle = OraclePredictor(folder, size=size)
    names = sorted(load_ground_truth(folder / "gt.json").poses)
    both = itertools.combinations(names, 2)
    return [
        (a, b) if number % 2 else (b, a)
        for number, (a, b) in enumerate(both)
        if float(np.mean(oracle.quality(Shown(a), Shown(b)) > 0)) >= least
    ]


def _poses(folder: Path, pairs: Sequence[tuple[str, str]], options: argparse.Namespace) -> list[Found]:
    truth = load_ground_truth(folder / "gt.json")
    overrides = [
        "backend=mast3r",
        f"mast3r.image_size={options.image_size}",
        f"internal.mast3r.oracle={folder.absolute()}",
        *options.option,
    ]
    if options.intrinsics == TRUE:
        camera = json.loads((folder / "gt.json").read_text(encoding="utf-8"))["cameras"][pairs[0][0]]
        params = ",".join(map(str, camera["params"]))
        overrides += [f"images.camera_model={camera['model']}", f"images.camera_params={params}"]
    config = load_config(overrides=overrides)
    found = []
    for reference, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        queries = [folder / "images" / query for _, query in group]
        done = sfm.localize_photo(
            folder / "images" / reference, queries, root=folder / "images", config=config
        )
        for query in done.queries:
            if isinstance(query, LocalisedByPhoto):
                true = truth.poses[query.name] * truth.poses[reference].inverse()
                found.append(_beside(folder.name, query, true))
    return found


def _beside(scene: str, query: LocalisedByPhoto, true: pycolmap.Rigid3d) -> Found:
    pose = query.pose.cam_from_world
    vector = Rotation.from_matrix((true.rotation * pose.rotation.inverse()).matrix()).as_rotvec()
    error = np.concatenate((vector, true.translation - pose.translation))
    between = true.inverse().translation - pose.inverse().translation
    return Found(
        scene,
        query.method,
        float(np.linalg.norm(true.translation)),
        float(np.linalg.norm(between)),
        float(np.degrees(np.linalg.norm(vector))),
        float(error @ np.linalg.solve(query.pose.covariance, error)) / 6,
        float(np.sqrt(np.trace(query.pose.centre_covariance))),
    )


def _figures(found: Sequence[Found]) -> dict[str, float | int | None]:
    if not found:
        return {"pairs": 0}
    chi2 = np.array([one.chi2_per_dof for one in found])
    return {
        "pairs": len(found),
        "median_distance_m": float(np.median([one.distance_m for one in found])),
        "median_error_m": float(np.median([one.error_m for one in found])),
        "median_error_deg": float(np.median([one.error_deg for one in found])),
        "median_sigma_m": float(np.median([one.sigma_m for one in found])),
        "chi2_per_dof": float(chi2.mean()),
        "median_chi2_per_dof": float(np.median(chi2)),
        "largest_chi2_per_dof": float(chi2.max()),
        "by_pnp": sum(one.method == "pnp" for one in found),
    }


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    parser.add_argument(
        "scenes", type=Path, nargs="+", metavar="SCENE", help="folders of render_scene.py --depth"
    )
    parser.add_argument("--pairs", type=count, default=200, help="of all scenes together")
    parser.add_argument("--overlap", type=amount, default=0.2, help="share of the first photo's pixels")
    parser.add_argument("--image-size", type=count, default=256, help="of the network, px")
    parser.add_argument("--intrinsics", choices=(TRUE, ESTIMATED), default=TRUE)
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    add_overrides(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
