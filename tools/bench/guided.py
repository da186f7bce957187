"""Guided beside blind matching of the same pairs: CPU time, what verifies, and what wrong poses come to.

    python tools/bench/guided.py kitchen25 lund_street fox --model MODELS --out out/guided.json

The model of a set is MODELS/SET, as `sfm run` writes it (OUT/sparse/0); the pairs are a sample of those whose
photos it predicts to overlap. `blind` matches and verifies all of them, `guided` does so near epipolar lines
and leaves some alone, `both` is what `sfm run` does: guided, then blind where guided left alone. CPU seconds
are the process's, matching and verification, features read included; a pair beforehand warms either up.

Then the same search with wrong poses: the second camera turned about a random axis, and photos that show
nothing in common. `fits` counts accepted pairs for which half of what blind matching verified lies in the
band all the same, so that the wrong pose is right about where partners lie.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pycolmap
from matched_store import MatchedStore, open_store
from photo_sets import find_sets, set_parser

from retrieval import Edge, Pair, Reason
from sfm.backends import Guide, Guides, GuideView
from sfm.config.loading import load_config
from sfm.database import FeatureDatabase
from sfm.loop.guides import guides_of
from sfm.mapping.measures.covisibility import predicted_overlaps
from sfm.sift.guided import Features, guided_matches
from sfm.sift.half_planes import HalfPlanes

TURNS_DEG = (0.5, 1.0, 3.0)
_MIN_OVERLAP = 0.05
_BAND_PX = 4.0


@dataclass(frozen=True, slots=True)
class Way:
    """What one way of matching made of the pairs."""

    cpu_s_per_pair: float
    verified: int
    inliers: int
    """Of the verified pairs."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What became of wrong poses."""

    pose: str
    tried: int
    accepted: int
    fits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one set."""

    set: str
    registered: int
    pairs: int
    keypoints: int
    """Mean of a photo."""
    blind: Way
    guided: Way
    both: Way
    accepted: int
    """Pairs that guided matching did not leave alone."""
    blind_inliers_there: int
    """What blind matching found for those."""
    ratio: float
    """CPU of blind over guided."""
    wrong: tuple[Wrong, ...]


def main() -> None:
    """Measure, print, write JSON."""
    options = _parse()
    pycolmap.logging.minloglevel = 2
    rows = []
    for photo_set in find_sets(options.sets, options):
        config = load_config(overrides=[*options.option, "run.seed=0"])
        with open_store(photo_set, options.cache, config, threads=options.threads) as store:
            folder = store.workspace.cache / "experiments" / "guided"
            folder.mkdir(parents=True, exist_ok=True)
            model = pycolmap.Reconstruction(options.model / photo_set.name)
            rows.append(_row(photo_set.name, store, model, folder, options.pairs))
        print(_text(rows[-1]), flush=True)
    if options.out:
        content = {
            "pycolmap": pycolmap.__version__,
            "threads": options.threads,
            "rows": [asdict(row) for row in rows],
        }
        options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _row(name: str, store: MatchedStore, model: pycolmap.Reconstruction, folder: Path, count: int) -> Row:
    overlaps = predicted_overlaps(model)
    pairs = sorted(pair for pair, share in overlaps.items() if share >= _MIN_OVERLAP)
    np.random.default_rng(0).shuffle(pairs)
    pairs = sorted(Pair(*pair) for pair in pairs[:count])
    edges = {pair: Edge(0.0, Reason.LOOP) for pair in pairs}
    guides = guides_of([model], edges)
    warm = dict(list(edges.items())[:1])
    accepted: set[Pair] = set()

    def blind(database: FeatureDatabase, some: Mapping[Pair, Edge]) -> None:
        store.backend.match(some, store.collection, database)

    def guided(database: FeatureDatabase, some: Mapping[Pair, Edge]) -> None:
        accepted.update(store.match_guided(sorted(some), database, guides_of([model], some)))

    def both(database: FeatureDatabase, some: Mapping[Pair, Edge]) -> None:
        store.backend.match(some, store.collection, database, guides=guides_of([model], some))

    ways = {}
    for way in (blind, guided, both):
        path = folder / f"{way.__name__}.db"
        way(store.new_database(path), warm)
        ways[way.__name__] = _measured(way, store.new_database(path), edges)
    known = FeatureDatabase(folder / "blind.db")
    records = known.pairs()
    there = [records[pair] for pair in accepted if pair in records]
    counts = known.num_keypoints()
    return Row(
        set=name,
        registered=model.num_reg_images(),
        pairs=len(pairs),
        keypoints=round(np.mean([counts[name] for pair in pairs for name in (pair.a, pair.b)])),
        **ways,
        accepted=len(accepted),
        blind_inliers_there=sum(record.num_inliers for record in there if record.verified),
        ratio=round(ways["blind"].cpu_s_per_pair / ways["guided"].cpu_s_per_pair, 2),
        wrong=_wrong_poses(known, guides, overlaps),
    )


def _measured(
    way: Callable[[FeatureDatabase, Mapping[Pair, Edge]], None],
    database: FeatureDatabase,
    edges: Mapping[Pair, Edge],
) -> Way:
    started = time.process_time()
    way(database, edges)
    seconds = time.process_time() - started
    verified = [record.num_inliers for record in database.pairs().values() if record.verified]
    return Way(round(seconds / len(edges), 4), len(verified), sum(verified))


def _wrong_poses(
    database: FeatureDatabase, guides: Guides, overlaps: Mapping[Pair, float]
) -> tuple[Wrong, ...]:
    rng = np.random.default_rng(0)
    inliers = _inliers(database, sorted(guides))
    min_matches = 20

    def accepts(names: Pair, guide: Guide) -> bool:
        a, b = _features(database, names.a, guide.a), _features(database, names.b, guide.b)
        return guided_matches(a, b, guide).significant(min_matches)

    results = []
    for degrees in TURNS_DEG:
        turned = {pair: _turned(guide, degrees, rng) for pair, guide in guides.items()}
        taken = [pair for pair in sorted(turned) if accepts(pair, turned[pair])]
        fits = sum(_share(database, pair, turned[pair], inliers.get(pair)) >= 0.5 for pair in taken)
        results.append(Wrong(f"turned {degrees:g} deg", len(turned), len(taken), fits))
    photos = sorted({name for pair in guides for name in (pair.a, pair.b)})
    unrelated = [Pair.of(a, b) for a, b in combinations(photos, 2) if Pair.of(a, b) not in overlaps]
    rng.shuffle(unrelated)
    poses = list(guides.values())
    unrelated = unrelated[: len(poses)]
    taken = [pair for pair, pose in zip(unrelated, poses, strict=False) if accepts(Pair(*pair), pose)]
    return *results, Wrong("nothing in common", len(unrelated), len(taken), 0)


def _features(database: FeatureDatabase, name: str, view: GuideView) -> Features:
    keypoints, descriptors = database.features(name)
    return Features.of(keypoints[:, :2], descriptors, view)


def _turned(guide: Guide, degrees: float, rng: np.random.Generator) -> Guide:
    axis = rng.normal(size=3)
    turn = pycolmap.Rotation3d(np.deg2rad(degrees) * axis / np.linalg.norm(axis))
    return replace(guide, b_from_a=pycolmap.Rigid3d(turn, np.zeros(3)) * guide.b_from_a)


def _share(database: FeatureDatabase, pair: Pair, guide: Guide, inliers: np.ndarray | None) -> float:
    """Of what blind matching verified, the share in the band of a guide."""
    if inliers is None or not len(inliers):
        return 0.0
    rays = [_features(database, name, view).rays for name, view in ((pair.a, guide.a), (pair.b, guide.b))]
    planes = HalfPlanes.of(*rays, guide)
    if planes is None:
        return 0.0
    band = _BAND_PX / guide.b.camera.mean_focal_length()
    return float(np.mean(planes.offsets(inliers) <= band))


def _inliers(database: FeatureDatabase, pairs: Sequence[Pair]) -> dict[Pair, np.ndarray]:
    ids = database.image_ids()
    with pycolmap.Database.open(database.path) as colmap:
        return {
            pair: np.asarray(colmap.read_two_view_geometry(ids[pair.a], ids[pair.b]).inlier_matches, np.int64)
            for pair in pairs
            if colmap.exists_two_view_geometry(ids[pair.a], ids[pair.b])
        }


def _text(row: Row) -> str:
    lines = [
        f"{row.set}: {row.registered} photos, {row.keypoints} keypoints each, {row.pairs} pairs, "
        f"blind / guided CPU {row.ratio:.1f}"
    ]
    for name in ("blind", "guided", "both"):
        way: Way = getattr(row, name)
        lines.append(
            f"  {name:6} {way.cpu_s_per_pair:.4f} CPU s/pair {way.verified:4} verified, {way.inliers} inliers"
        )
    lines.append(
        f"  guided took {row.accepted} of {row.pairs}; blind found {row.blind_inliers_there} inliers there"
    )
    lines += [
        f"  {wrong.pose}: {wrong.accepted} of {wrong.tried} accepted, {wrong.fits} of them fit"
        for wrong in row.wrong
    ]
    return "\n".join(lines)


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__, "loop")
    parser.add_argument(
        "--model", type=Path, required=True, metavar="DIR", help="folder with a model of each set, DIR/SET"
    )
    parser.add_argument("--pairs", type=int, default=40)
    return parser.parse_args()


if __name__ == "__main__":
    main()
