"""Commands on photos, alterations and options drawn by chance: each ends as promised, none crashes.

    python tools/bench/random_runs.py --first 0 --runs 100 --option backend=sift --out out/random.json

Each collection has consecutive photos of one to three sets of --data, as they are or altered. It is
reconstructed with up to three options of the schema and perhaps a preset; a model is exported, extended or
localized against, merged, aligned and compared with what it was extended to, mapped again from its database,
and the run is repeated. One line of JSON a collection.
Crashed is what ends by a signal, not at all, or with a code that the command cannot mean; its folder stays in
the cache, and the same number draws the same collection again.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from engines.settings import Settings, parse_runs, run_python, settings_from
from harness.arguments import count, program
from harness.measured import Measured
from harness.result_file import write_results
from photo_sets.altered import KINDS, altered, upright
from photo_sets.sets import add_shared_options
from PIL import Image

from sfm.config.presets import preset_names
from sfm.config.printing import config_schema
from sfm.ingest.discover import FoundFile, discover

_LONGEST_PX = 800
"""So a collection takes a minute or less."""
_NUM_PHOTOS = (2, 3, 5, 8, 12)
_NOT_DRAWN = ("run", "mast3r", "alignment", "internal", "colmap", "backend", "export")
"""Sections of the schema; they need weights, or leave nothing to look at."""
_PRESETS_NOT_DRAWN = ("scene", "mast3r-sfm", "accurate", "demo")
"""They need a network, or time, or are for photos of their own."""
_FORMATS = ("3dgs", "nerfstudio", "txt", "ply")
_MEANT = (0, 6)
"""Exit codes of commands on what a run of ours made: done, and no model or pose."""
_MEANT_TOO = {"run": (2, 3), "merge": (3,), "align": (3,), "eval": (3,)}
"""Some options and photos do not go together, and models of few photos may not fit."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a collection."""

    command: str
    exit_code: int
    seconds: float
    failure: str


@dataclass(frozen=True, slots=True)
class Row:
    """One collection."""

    seed: int
    sets: tuple[str, ...]
    kind: str
    """What was done to the photos; empty: nothing."""
    photos: int
    options: tuple[str, ...]
    models: tuple[int, ...]
    """Photos of each."""
    steps: tuple[Step, ...]
    crashed: tuple[str, ...]
    """Commands that did."""


def main() -> None:
    """Draw, run, print; the exit code says whether anything crashed."""
    parser = program(__doc__)
    add_shared_options(parser)
    parser.add_argument("--first", type=int, default=0, metavar="N", help="first number (default: 0)")
    parser.add_argument("--runs", type=count, default=20, metavar="N", help="how many (default: 20)")
    options = parse_runs(parser, time_limit_s=900.0)
    settings = settings_from(options)
    rows: list[Row] = []
    for seed in range(options.first, options.first + options.runs):
        rows.append(tried(seed, options, settings))
        print(json.dumps(asdict(rows[-1])), flush=True)
        if options.out:
            given = {"threads": settings.threads, "options": settings.options}
            write_results(options.out, rows, [], bench="random_runs", **given)
    raise SystemExit(any(row.crashed for row in rows))


def tried(seed: int, options: argparse.Namespace, settings: Settings) -> Row:
    """What becomes of one collection."""
    rng, folder = Random(seed), settings.cache / "random" / str(seed)
    shutil.rmtree(folder, ignore_errors=True)
    sets, kind = drawn_photos(rng, options.data, folder)
    chosen = (*drawn_options(rng), *settings.options)
    steps = []
    for command in commands(rng, folder, chosen, settings):
        log = folder / f"{len(steps)}.log"
        done = run_python(["-m", "sfm", *command], settings, log)
        steps.append((command[0], done, "Traceback" in log.read_text(encoding="utf-8", errors="replace")))
    crashed = tuple(name for name, done, failed in steps if failed or is_crash(name, done))
    models = _models(folder)
    num_photos = sum(path.is_file() for path in (folder / "photos").rglob("*"))
    if not crashed:
        shutil.rmtree(folder)
    told = tuple(Step(name, done.exit_code, round(done.seconds, 1), done.failure) for name, done, _ in steps)
    return Row(seed, sets, kind, num_photos, chosen, models, told, crashed)


def is_crash(command: str, done: Measured) -> bool:
    """Whether a command ended as no user should see it end."""
    return done.timed_out or done.exit_code not in (*_MEANT, *_MEANT_TOO.get(command, ()))


def drawn_photos(rng: Random, data: Path, folder: Path) -> tuple[tuple[str, ...], str]:
    """Write `photos`, and `more` with the last one of each set; the sets, and what was done to them."""
    sets = sorted(path for path in data.glob("*/images") if path.is_dir())
    chosen = rng.sample(sets, min(len(sets), rng.choice((1, 1, 2, 3))))
    kind = rng.choice(("", *sorted(KINDS.keys() - {"foreign"})))
    in_folders = rng.random() < 0.3
    (folder / "more").mkdir(parents=True)
    for source in chosen:
        files, step = discover(source).files, rng.choice((1, 1, 2))
        first = rng.randrange(max(1, len(files) - step * _NUM_PHOTOS[-1]))
        some = files[first::step][: rng.choice(_NUM_PHOTOS)]
        below = source.parent.name if in_folders else ""
        _write(some[: max(2, len(some) - 1)], kind, folder / "photos" / below)
        _write(some[max(2, len(some) - 1) :], kind, folder / "more" / below)
    return tuple(source.parent.name for source in chosen), kind


def _write(files: Sequence[FoundFile], kind: str, folder: Path) -> None:
    """The photos, reduced; as they are but for that, metadata included, without an alteration."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = []
    for file in files:
        with Image.open(file.path) as image:
            exif = image.getexif()
            image.thumbnail((_LONGEST_PX, _LONGEST_PX))
            photos.append(upright(file.name.replace("/", "_"), image, None))
            if not kind:
                image.convert("RGB").save(folder / photos[-1].name, exif=exif, quality=93)
    for photo in altered(photos, kind) if kind else ():
        photo.image.save(folder / photo.name, quality=photo.quality)


def drawn_options(rng: Random) -> tuple[str, ...]:
    """Up to three options, as `KEY=VALUE`, and perhaps a preset as `--preset=NAME`."""
    presets = sorted(set(preset_names()) - set(_PRESETS_NOT_DRAWN))
    preset = (f"--preset={rng.choice(presets)}",) if rng.random() < 0.3 else ()
    known = [(name, values) for name, values in _values(config_schema(), "") if values]
    drawn = rng.sample(known, rng.choice((0, 1, 2, 3)))
    return (*preset, *(f"{name}={rng.choice(values)}" for name, values in drawn))


def _values(schema: Any, name: str) -> Iterator[tuple[str, list[object]]]:
    """Values of each option below a part of the JSON schema; none of those that are files."""
    for key, part in schema.get("properties", {}).items():
        if name or key not in _NOT_DRAWN:
            full = f"{name}.{key}".lstrip(".")
            yield full, _values_of(part)
            yield from _values(part, full)


def _values_of(part: Any) -> list[object]:
    default = part.get("default")
    for kind in part.get("anyOf", [part]):
        low, high = kind.get("minimum", 0.01), kind.get("maximum", float("inf"))
        if "enum" in kind or "examples" in kind:
            return [one for one in kind.get("enum", kind.get("examples")) if "pairs" not in str(one)]
        if kind.get("type") == "boolean":
            return ["true", "false"]
        if kind.get("type") in ("integer", "number"):
            around = [low, *(factor * (default or 2) for factor in (0.25, 0.5, 2))]
            within = [min(max(value, low), high) for value in around]
            return [int(value) for value in within] if kind["type"] == "integer" else within
    return []


def commands(rng: Random, folder: Path, options: Sequence[str], settings: Settings) -> Iterator[list[str]]:
    """The commands, one after the other; those after the first where it made a model."""
    out, threads = folder / "run", f"--threads={settings.threads}"
    run = ["run", str(folder / "photos"), "-o", str(out), threads, *options]
    yield run
    if rng.random() < 0.3 and (out / "database.db").is_file():
        photos = sorted(path for path in (folder / "photos").rglob("*") if path.is_file())
        yield ["explain", str(out), str(rng.choice(photos).relative_to(folder / "photos"))]
        yield ["graph", str(out), "-o", str(folder / "graph")]
    if not _models(folder):
        return
    for form in rng.sample(_FORMATS, 2):
        yield ["export", str(out), "--to", form]
    if any(path.is_file() for path in (folder / "more").rglob("*")):
        command = rng.choice(("extend", "extend", "localize"))
        yield [command, str(out), str(folder / "more"), "-o", str(folder / command), threads]
        if (other := folder / "extend" / "sparse" / "0").is_dir():
            yield ["merge", str(out), str(other), "-o", str(folder / "merged")]
            yield ["align", str(other), "--to", str(out), "-o", str(folder / "aligned")]
            yield ["eval", str(other), str(out / "sparse" / "0")]
    if rng.random() < 0.3:
        yield ["map", str(out / "database.db"), "-o", str(folder / "mapped"), threads]
    if rng.random() < 0.3:
        yield run


def _models(folder: Path) -> tuple[int, ...]:
    told = folder / "run" / "run.json"
    models = json.loads(told.read_text(encoding="utf-8"))["models"] if told.is_file() else []
    return tuple(model["num_images"] for model in models)


if __name__ == "__main__":
    main()
