"""Whole runs on photos altered as users have them: zoomed, cut, turned, resized, marked, with foreign ones.

    python tools/bench/alter_photos.py fountain-P11 fox --kinds plain,zoom-half,foreign --out out/altered.json
    python tools/bench/alter_photos.py south_building --every 3

Photos lose their metadata. One line of JSON a run: photos and those registered, AUC against the truth, or
where that is another program's result (reference.json) agreement with it, CPU seconds, exit code. Altered
photos and outputs stay in the cache, as SET-KIND. Foreign photos are of the other sets in --data.

{sets}
"""

import argparse
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engines.settings import Settings, parse_whole_runs, run_photos, settings_from
from harness.arguments import chosen_from, count, ending_on_errors
from harness.result_file import write_results
from metrics.mapper_scores import agreement, read_models
from metrics.rows import accuracy_of
from photo_sets.altered import KINDS, Photo, altered, upright
from photo_sets.sets import PhotoSet, find_sets, set_parser
from photo_sets.staging import truth_content
from PIL import Image

from sfm.errors import InputError
from sfm.evaluation import load_ground_truth
from sfm.evaluation.names import match_names
from sfm.ingest.discover import discover

_FOREIGN = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One run."""

    set: str
    kind: str
    photos: int
    registered: int
    """In any model of three photos or more."""
    models: tuple[int, ...]
    auc1: float | None
    auc5: float | None
    agreement: float | None
    """Of the largest model with another program's, per cent."""
    cpu_s: float
    exit_code: int


def main() -> None:
    """Alter, run, print."""
    options = _parse()
    settings = settings_from(options)
    rows: list[Row] = []
    for photo_set in find_sets(options.sets, options):
        for kind in options.kinds:
            with ending_on_errors():
                made = write_set(photo_set, kind, options.every, options.data, settings.cache / "altered")
                rows.append(measured(made, photo_set.name, kind, settings))
            print(json.dumps(asdict(rows[-1])), flush=True)
            if options.out:
                given = {"threads": settings.threads, "options": settings.options}
                write_results(options.out, rows, [], bench="alter_photos", **given)


def write_set(photo_set: PhotoSet, kind: str, every: int, data: Path, cache: Path) -> PhotoSet:
    """The altered photos of a set and their truth, in a folder of their own below `cache`.

    Raises:
        InputError: the truth is of several scenes, or there are no other photos for `foreign`.
    """
    folder = cache / f"{photo_set.name}-{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    truth = load_ground_truth(photo_set.truth) if photo_set.truth else None
    if truth and truth.components:
        raise InputError(f"{photo_set.truth}: the truth of several scenes cannot be altered")
    poses = truth.poses if truth else {}
    found = discover(photo_set.photos).files[::every]
    true = {name: poses[known] for name, known in match_names([f.name for f in found], poses).items()}
    photos = [upright(file.name, _opened(file.path), true.get(file.name)) for file in found]
    made = altered(photos, kind, _foreign(photo_set, data, photos[0]) if kind == "foreign" else ())
    for photo in made:
        path = folder / "images" / photo.name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo.image.save(path, quality=photo.quality)
    if truth is None or photo_set.truth is None:
        return PhotoSet(folder.name, folder / "images", None)
    known = {photo.name: photo.pose for photo in made if photo.pose is not None}
    content = truth_content(replace(truth, poses=known, cameras=None))
    (folder / photo_set.truth.name).write_text(json.dumps(content), encoding="utf-8")
    return PhotoSet(folder.name, folder / "images", folder / photo_set.truth.name)


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def _foreign(photo_set: PhotoSet, data: Path, like: Photo) -> list[Photo]:
    """A photo each of other sets, at the size of one of this set."""
    found = {
        folder.parent.name: discover(folder).files
        for folder in sorted(data.glob("*/images"))
        if folder.resolve() != photo_set.photos.resolve()
    }
    chosen = [(name, files[0]) for name, files in found.items() if files][:_FOREIGN]
    if not chosen:
        raise InputError(
            f"{data} holds no other set to take foreign photos from", hint="--data names a folder"
        )
    photos = [upright(f"{name}.jpg", _opened(file.path), None) for name, file in chosen]
    return [replace(photo, image=photo.image.resize(like.image.size)) for photo in photos]


def measured(made: PhotoSet, name: str, kind: str, settings: Settings) -> Row:
    """Figures of one run, which begins anew."""
    out = made.photos.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    run = run_photos(made.photos, out, settings)
    models = read_models(out / "sparse")
    truth = load_ground_truth(made.truth) if made.truth else None
    figures = accuracy_of(models, truth) if truth and made.truth_is_measured else None
    agreed = agreement(truth.poses, models[0] if models else {}) if truth and not figures else None
    return Row(
        name,
        kind,
        len(discover(made.photos).files),
        len({photo for poses in models for photo in poses}),
        tuple(map(len, models)),
        figures and figures.auc1,
        figures and figures.auc5,
        agreed,
        round(run.cpu_seconds, 1),
        run.exit_code,
    )


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__)
    parser.add_argument("--kinds", type=chosen_from(tuple(KINDS)), default=",".join(KINDS), metavar="NAMES")
    parser.add_argument("--every", type=count, default=1, metavar="N", help="take every N-th photo alone")
    return parse_whole_runs(parser, time_limit_s=7200.0)


if __name__ == "__main__":
    main()
