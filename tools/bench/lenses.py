"""Rendered lenses: whole runs that find the camera themselves, beside the same photos with the true camera.

    python tools/bench/lenses.py --lenses off-centre,action --scenes object --photos 8 --out out/lenses.json
    python tools/bench/lenses.py --photos 8 25 --seeds 3        # all lenses and scenes

`found` chooses the camera by its own evidence; `true` is given camera model and parameters and holds them;
`told` is given the camera model alone and frees all of it; `simple` stays with a focal length and one
distortion. One line of JSON a run, then the medians of what each loses to `true` in AUC@1. Photos and outputs
stay in the cache.
"""

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median

import pycolmap
from engines.settings import Settings, parse_runs, run_photos, settings_from
from harness.arguments import chosen_from, count, program
from harness.result_file import write_results
from metrics.mapper_scores import read_models
from metrics.rows import accuracy_of
from photo_sets.rendered_lenses import EXIF, LENSES, SCENES, camera_of, rendered
from photo_sets.sets import PhotoSet, add_shared_options

from sfm.evaluation import load_ground_truth

WAYS = ("true", "found", "told", "simple")
_WITHIN = 3.0
"""Points of AUC@1 that a run may lose."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run."""

    lens: str
    scene: str
    photos: int
    seed: int
    exif: str
    way: str
    registered: int
    """In any model of three photos or more."""
    auc1: float
    auc5: float
    camera: str
    """Model of the first photo's camera in the largest model, and its focal length, px."""
    cpu_s: float
    exit_code: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What a way of choosing the camera loses to the true camera, over all cells."""

    way: str
    cells: int
    median: float
    """Of AUC@1."""
    within: float
    """Share of the cells that lose 3 points at most, per cent."""
    all_registered: float
    """Share of the cells that register as many photos as the true camera, per cent."""


def main() -> None:
    """Render, run, print."""
    options = _parse()
    settings = settings_from(options)
    rows: list[Row] = []
    for lens, scene, photos, seed in product(
        options.lenses, options.scenes, options.photos, range(options.seeds)
    ):
        sets = rendered(lens, scene, photos, seed, settings.cache / "lenses")
        for exif, way in product(options.exif, dict.fromkeys(("true", *options.ways))):
            if way == "true" and exif != options.exif[0]:
                continue  # what EXIF says changes nothing
            rows.append(
                measured(sets[exif], Row(lens, scene, photos, seed, exif, way, 0, 0, 0, "", 0, 0), settings)
            )
            print(json.dumps(asdict(rows[-1])), flush=True)
            if options.out:
                given = options.out, rows, losses(rows)
                write_results(*given, bench="lenses", threads=settings.threads, options=settings.options)
    for loss in losses(rows):
        print(json.dumps(asdict(loss)), flush=True)


def measured(photo_set: PhotoSet, row: Row, settings: Settings) -> Row:
    """The row with the figures of one run, which begins anew."""
    out = photo_set.photos.parent / f"out-{row.way}"
    shutil.rmtree(out, ignore_errors=True)
    options = (*settings.options, *_options_of(row.way, row.lens))
    run = run_photos(photo_set.photos, out, replace(settings, options=options))
    models = read_models(out / "sparse")
    figures = accuracy_of(models, load_ground_truth(photo_set.photos.parent / "gt.json"))
    return replace(
        row,
        registered=len({photo for poses in models for photo in poses}),
        auc1=figures.auc1 or 0.0,
        auc5=figures.auc5 or 0.0,
        camera=_camera(out / "sparse" / "0") if models else "",
        cpu_s=round(run.cpu_seconds, 1),
        exit_code=run.exit_code,
    )


def losses(rows: Sequence[Row]) -> list[Loss]:
    """Of each way beside the true camera, where both ran."""
    true = {(row.lens, row.scene, row.photos, row.seed): row for row in rows if row.way == "true"}
    found: list[Loss] = []
    for way in WAYS[1:]:
        pairs = [(true[row.lens, row.scene, row.photos, row.seed], row) for row in rows if row.way == way]
        if pairs:
            lost = [best.auc1 - row.auc1 for best, row in pairs]
            whole = [row.registered >= best.registered for best, row in pairs]
            within = [loss <= _WITHIN for loss in lost]
            shares = (100 * sum(given) / len(pairs) for given in (within, whole))
            found.append(Loss(way, len(pairs), median(lost), *shares))
    return found


def _options_of(way: str, lens: str) -> tuple[str, ...]:
    camera = camera_of(lens)
    model = f"images.camera_model={camera.model}"
    ways = {
        "true": (model, f"images.camera_params={','.join(map(repr, camera.params))}"),
        "found": (),
        "told": (model, "refine.principal_point=always"),
        "simple": ("refine.max_camera_model=SIMPLE_RADIAL", "refine.principal_point=never"),
    }
    return ways[way]


def _camera(model: Path) -> str:
    found = pycolmap.Reconstruction(str(model))
    camera = min(found.images.values(), key=lambda image: image.name).camera
    return f"{camera.model_name} {camera.mean_focal_length():.1f}"


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    parser.add_argument(
        "--lenses", type=chosen_from(tuple(LENSES)), default=",".join(LENSES), metavar="NAMES"
    )
    parser.add_argument("--scenes", type=chosen_from(SCENES), default=",".join(SCENES), metavar="NAMES")
    parser.add_argument("--photos", type=count, nargs="+", default=[8, 25], metavar="N")
    parser.add_argument("--exif", type=chosen_from(tuple(EXIF)), default=",".join(EXIF), metavar="NAMES")
    parser.add_argument(
        "--ways", type=chosen_from(WAYS), default="found", metavar="NAMES", help="beside `true`"
    )
    parser.add_argument("--seeds", type=count, default=1, metavar="N", help="places and ways (default: 1)")
    add_shared_options(parser)
    return parse_runs(parser, time_limit_s=1800.0)


if __name__ == "__main__":
    main()
