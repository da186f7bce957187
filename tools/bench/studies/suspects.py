"""How well look-alike pairs are named: recall of false pairs, false alarms, on full and on thin graphs.

    python tools/bench studies.suspects                     # all real sets but the largest, and rendered ones
    python tools/bench studies.suspects dup_cereal fox facades-60-1 --per-photo 8 --out out/suspects.json

A set is a folder of the data or `SCENE-VIEWS-SEED`, which is rendered: facades or terraces with look-alikes,
a district or bridge without, the square of the demo (`square-28-0`) with two houses. Its exhaustive database
is made once and kept. A thin graph keeps so many pairs of each photo, drawn by their matches with some luck.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
from engines.peer_database import prepare
from harness.paths import ROOT
from photo_sets.pair_truth import Label, pair_labels
from photo_sets.sets import add_shared_options, find_set

from retrieval import Pair
from sfm.config.schema import Config
from sfm.mapping.pair_consistency.inconsistent_pairs import find_inconsistent_pairs
from sfm.mapping.pair_consistency.pair_rotations import Rotation, read_rotations
from sfm.mapping.scene.pair_matches import PairMatches

_RENDERED = ("facades-60-0", "facades-60-1", "district-60-0", "bridge-60-0", "square-28-0")
_RENDERED_FEATURES = 2000
_SCENES = ("facades", "terraces", "district", "bridge", "square")
_TOO_LARGE = ("bonsai292",)
_LUCK = 0.7  # scale of the Gumbel noise on the logarithm of the matches
_FIRM = 30


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one graph of one set."""

    set: str
    photos: int
    pairs_per_photo: int | None
    """None: exhaustive."""
    true: int
    false: int
    mixed: int
    named: int
    named_false: int
    named_mixed: int
    named_true: int
    firm_false: int
    """False pairs of 30 matches or more; so below."""
    firm_named_false: int
    median_false_inliers: float | None
    max_false_inliers: int | None
    ambiguous: bool
    read_s: float
    find_s: float
    """CPU seconds, like `read_s`."""


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", help="folders of the data, or SCENE-VIEWS-SEED")
    add_shared_options(parser)
    parser.add_argument(
        "--per-photo", type=int, nargs="*", default=[4, 8], help="pairs a photo of thin graphs"
    )
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    rows: list[Row] = []
    for name in options.sets or _all_sets(options.data):
        for row in measure(name, options.data, options.cache, options.per_photo, options.threads):
            rows.append(row)
            print(render(row), flush=True)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1), encoding="utf-8")


def measure(name: str, data: Path, cache: Path, per_photo: Sequence[int], threads: int) -> list[Row]:
    """The exhaustive graph of a set, then thin ones."""
    folder, config = _photos(name, data, cache)
    made = prepare(find_set(str(folder), data).photos, cache, threads=threads, config=config)
    started = time.process_time()
    matches = PairMatches.read(Path(made.database))
    rotations = read_rotations(Path(made.database), matches)
    read_s = time.process_time() - started
    labels = pair_labels(name, folder, matches)
    graphs = [(None, matches), *((count, thinned(matches, count)) for count in per_photo)]
    return [_row(name, count, graph, rotations, labels, read_s) for count, graph in graphs]


def thinned(matches: PairMatches, per_photo: int, *, seed: int = 1) -> PairMatches:
    """The graph with about so many pairs chosen by each photo."""
    match_rate = np.random.default_rng(seed)
    kept: set[Pair] = set()
    for name in sorted(matches.keypoints):
        pairs = [pair for pair in matches.inliers if name in (pair.a, pair.b)]
        worth = [np.log(len(matches.inliers[pair])) + _LUCK * match_rate.gumbel() for pair in pairs]
        kept |= {pairs[i] for i in np.argsort(-np.array(worth))[:per_photo]}
    return replace(matches, inliers={pair: m for pair, m in matches.inliers.items() if pair in kept})


def _row(
    name: str,
    per_photo: int | None,
    graph: PairMatches,
    rotations: Mapping[Pair, Rotation],
    labels: Mapping[Pair, Label],
    read_s: float,
) -> Row:
    started = time.process_time()
    turns = {pair: matrix for pair, matrix in rotations.items() if pair in graph.inliers}
    report = find_inconsistent_pairs(graph, rotations=turns)
    find_s = time.process_time() - started
    inliers = {pair: len(m) for pair, m in graph.inliers.items()}
    named = {inconsistent.pair for inconsistent in report.inconsistent_pairs}
    totals = Counter(labels[pair] for pair in inliers)
    found = Counter(labels[pair] for pair in named)
    false = [pair for pair in inliers if labels[pair] is Label.FALSE]
    counts = [inliers[pair] for pair in false]
    return Row(
        set=name,
        photos=len(graph.keypoints),
        pairs_per_photo=per_photo,
        true=totals[Label.TRUE],
        false=totals[Label.FALSE],
        mixed=totals[Label.MIXED],
        named=len(named),
        named_false=found[Label.FALSE],
        named_mixed=found[Label.MIXED],
        named_true=found[Label.TRUE],
        firm_false=sum(count >= _FIRM for count in counts),
        firm_named_false=sum(inliers[pair] >= _FIRM and pair in named for pair in false),
        median_false_inliers=float(np.median(counts)) if counts else None,
        max_false_inliers=max(counts, default=None),
        ambiguous=report.ambiguous,
        read_s=round(read_s, 2),
        find_s=round(find_s, 2),
    )


def _all_sets(data: Path) -> list[str]:
    real = sorted(path.name for path in data.iterdir() if (path / "images").is_dir())
    return [*(name for name in real if name not in _TOO_LARGE), *_RENDERED]


def _photos(name: str, data: Path, cache: Path) -> tuple[Path, Config]:
    """The folder of a set, rendered if need be, and the configuration of its features."""
    config = Config()
    scene, *numbers = name.rsplit("-", 2)
    if scene not in _SCENES or len(numbers) != 2:
        return find_set(name, data).photos.parent, config
    views, seed = numbers
    folder = cache / "rendered" / name
    if not (folder / "gt.json").is_file():  # it is written last
        script = [sys.executable, str(ROOT / "tools" / "render_scene.py"), str(folder)]
        options = ["--scene", scene, "--views", views, "--seed", seed, "--depth"]
        subprocess.run([*script, *options], check=True)
    return folder, replace(config, sift=replace(config.sift, max_num_features=_RENDERED_FEATURES))


def render(row: Row) -> str:
    """One line."""

    def share(part: int, whole: int) -> str:
        return f"{part}/{whole}" + (f" ({100 * part / whole:.1f} %)" if whole else "")

    graph = "all pairs" if row.pairs_per_photo is None else f"{row.pairs_per_photo} a photo"
    return (
        f"{row.set:18} {row.photos:4} photos, {graph:10} named {row.named:4}: "
        f"false {share(row.named_false, row.false)}, of {_FIRM}+ matches "
        f"{share(row.firm_named_false, row.firm_false)}; mixed {share(row.named_mixed, row.mixed)}; "
        f"alarms {share(row.named_true, row.true)}; {'ambiguous' if row.ambiguous else 'plain'}; "
        f"matches of false pairs: median {row.median_false_inliers}, most {row.max_false_inliers}; "
        f"{row.read_s} + {row.find_s} s CPU"
    )


if __name__ == "__main__":
    main()
