"""One whole run on the photos of several sets, mixed in one folder under names that say nothing.

    python tools/bench/one_folder.py fountain-P11 fox --out out/one_folder.json --option backend=sift
    python tools/bench/one_folder.py SETS --thin bonsai292=3,video_frames=3

One line of JSON a set: its photos, those in models of this set alone, the sizes of these models, photos that
share a model with another set's, and AUC of the largest model. The last line is of the whole run. Photos and
output stay in the cache, as one_folder.

{sets}
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engines.settings import Settings, parse_whole_runs, run_photos, settings_from
from harness.arguments import count, ending_on_errors
from harness.result_file import write_results
from metrics.mapper_scores import read_models
from metrics.rows import accuracy_of
from photo_sets.sets import PhotoSet, find_sets, set_parser

from sfm.colmap.model_poses import Poses
from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from sfm.evaluation.names import match_names
from sfm.ingest.discover import discover


@dataclass(frozen=True, slots=True)
class Row:
    """One set, or all of them as the set `all`."""

    set: str
    photos: int
    registered: int
    """In models of this set alone; of `all` in any model."""
    models: tuple[int, ...]
    """Photos of each model with photos of this set, the others' left out."""
    with_others: int
    """Photos in models that hold several sets."""
    auc1: float | None = None
    auc5: float | None = None
    cpu_s: float | None = None
    exit_code: int | None = None


def main() -> None:
    """Mix, run, print."""
    options = _parse()
    settings = settings_from(options)
    with ending_on_errors():
        sets = find_sets(options.sets, options)
        if unknown := sorted(options.thin.keys() - {one.name for one in sets}):
            raise InputError(f"--thin: {unknown[0]} is none of the sets")
        folder = settings.cache / "one_folder"
        shutil.rmtree(folder, ignore_errors=True)
        origin = mixed(sets, options.thin, folder / "images")
        rows = measured(sets, origin, folder, settings)
    for row in rows:
        print(json.dumps(asdict(row)), flush=True)
    if options.out:
        given = {"threads": settings.threads, "options": settings.options, "thin": options.thin}
        write_results(options.out, rows, [], bench="one_folder", **given)


def mixed(sets: Sequence[PhotoSet], thin: Mapping[str, int], folder: Path) -> dict[str, tuple[str, str]]:
    """Copy every photo of the sets, or every N-th; of each new name the set and the name there.

    Names are made of a hash, so that neither they nor their order tell sets apart.
    """
    folder.mkdir(parents=True)
    origin = {}
    for one in sets:
        for file in discover(one.photos).files[:: thin.get(one.name, 1)]:
            code = hashlib.sha256(f"{one.name}/{file.name}".encode()).hexdigest()[:10]
            name = f"{code}{file.path.suffix.lower()}"
            shutil.copyfile(file.path, folder / name)
            origin[name] = one.name, file.name
    return dict(sorted(origin.items()))


def measured(
    sets: Sequence[PhotoSet], origin: Mapping[str, tuple[str, str]], folder: Path, settings: Settings
) -> list[Row]:
    """Figures of one run on the mixed photos, which begins anew."""
    out = folder / "out"
    run = run_photos(folder / "images", out, settings)
    models = read_models(out / "sparse")
    rows = [_row(one, origin, models) for one in sets]
    registered = {name for poses in models for name in poses}
    others = sum(row.with_others for row in rows)
    sizes, cpu_s = tuple(map(len, models)), round(run.cpu_seconds, 1)
    return [
        *rows,
        Row("all", len(origin), len(registered), sizes, others, cpu_s=cpu_s, exit_code=run.exit_code),
    ]


def _row(one: PhotoSet, origin: Mapping[str, tuple[str, str]], models: Sequence[Poses]) -> Row:
    known = {new: name for new, (of, name) in origin.items() if of == one.name}
    own = [{known[n]: pose for n, pose in poses.items() if n in known} for poses in models]
    is_pure = [len(some) == len(poses) for some, poses in zip(own, models, strict=True)]
    pure = sum(len(some) for some, alone in zip(own, is_pure, strict=True) if alone)
    parts = sorted((some for some in own if some), key=len, reverse=True)
    figures = None
    if one.truth and parts:
        truth = load_ground_truth(one.truth)
        given = set(match_names(list(known.values()), truth.poses).values())
        poses = {name: pose for name, pose in truth.poses.items() if name in given}
        figures = accuracy_of(parts, replace(truth, poses=poses))
    return Row(
        one.name,
        len(known),
        pure,
        tuple(map(len, parts)),
        sum(map(len, parts)) - pure,
        figures and figures.auc1,
        figures and figures.auc5,
    )


def _thinned(text: str) -> dict[str, int]:
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: count(number) for name, _, number in pairs}


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__)
    parser.add_argument(
        "--thin", type=_thinned, default={}, metavar="NAME=N,…", help="every N-th photo of a set alone"
    )
    return parse_whole_runs(parser, time_limit_s=36000.0)


if __name__ == "__main__":
    main()
