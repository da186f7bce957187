"""What each part of our engine is worth: runs without it, beside the whole one.

    python tools/bench/ablations.py fountain-P11 fox kitchen25 --seeds 1
    python tools/bench/ablations.py saharov32 --only no-loop,codebook-256 --out out/ablations.json
    python tools/bench/ablations.py RENDERED --option backend=mast3r --option internal.mast3r.oracle=RENDERED

An ablation is a configuration in `ablations/`, differences only; its first line says what it takes away.
Those of the dense backend run where `--option backend=mast3r` asks for it. Results are kept as those of
`peers.py` are; of a file of `--out` `report.py` makes a table of ablations.

{sets}
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from engines.runs import OWN, Job, run_job
from engines.settings import Settings, add_run_options, settings_from, told_options
from harness.result_file import write_results
from metrics.ablation_table import ablation_columns
from metrics.rows import Row, median_rows
from metrics.table import aligned
from peers import rows_of
from photo_sets.sets import PhotoSet, find_sets, set_parser

from sfm.config.loading import load_config
from sfm.errors import SfmError

BENCH = "ablations"
"""What its result files say that they are of."""
FOLDER = Path(__file__).resolve().parent / "ablations"
_DENSE = ("mast3r.", "internal.mast3r.")


@dataclass(frozen=True, slots=True)
class Ablation:
    """One configuration."""

    name: str
    says: str
    """Its first line."""
    options: tuple[str, ...]
    """`key=value` of all that it sets."""

    @property
    def is_dense(self) -> bool:
        """Whether it changes nothing but the dense backend."""
        return all(option.startswith(_DENSE) for option in self.options)


def read_ablation(path: Path) -> Ablation:
    """An ablation from its file.

    Raises:
        ConfigError: the file is no configuration; the message names the key.
    """
    load_config(path)
    text = path.read_text(encoding="utf-8")
    return Ablation(path.stem, text.splitlines()[0].lstrip("# "), tuple(_options(yaml.safe_load(text))))


def _options(section: Mapping[str, object], name: str = "") -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _options(value, f"{name}{key}.")
        else:
            yield f"{name}{key}={value if isinstance(value, str) else json.dumps(value)}"


def all_ablations(folder: Path = FOLDER) -> tuple[Ablation, ...]:
    """Those of a folder, by name."""
    return tuple(read_ablation(path) for path in sorted(folder.glob("*.yaml")))


def chosen_ablations(only: Sequence[str], *, dense: bool) -> tuple[list[Ablation], list[str]]:
    """Those that are asked for and can tell something, and a line for each that is left out.

    Raises:
        ValueError: a name that none has.
    """
    known = {ablation.name: ablation for ablation in all_ablations()}
    if unknown := [name for name in only if name not in known]:
        raise ValueError(f"no ablation {', '.join(unknown)}; there are {', '.join(known)}")
    asked = [known[name] for name in only] or list(known.values())
    skipped = [a.name for a in asked if a.is_dense and not dense]
    lines = [f"skipped {name}: of the dense backend; add --option backend=mast3r" for name in skipped]
    return [a for a in asked if a.name not in skipped], lines


def rows_for(
    photo_set: PhotoSet, ablations: Sequence[Ablation], seed: int, settings: Settings, *, fresh: bool
) -> list[Row]:
    """The whole engine's row, then one an ablation."""
    whole = Job(photo_set, "ours", OWN, seed, label=told_options(settings.options))
    runs = [run_job(whole, settings, fresh=fresh)]
    for ablation in ablations:
        changed = replace(settings, options=(*settings.options, *ablation.options))
        runs.append(run_job(replace(whole, choice=ablation.name), changed, fresh=fresh))
    return rows_of(runs)


def render(medians: Sequence[Row]) -> str:
    """A line an ablation, with its difference from the whole engine."""
    return aligned(medians, ablation_columns(medians))


def main() -> None:
    """Parse, run what is missing, print."""
    options = _parse()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    settings = settings_from(options)
    try:
        ablations, skipped = chosen_ablations(options.only, dense="backend=mast3r" in options.option)
    except (SfmError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    sets = find_sets(options.sets, options)
    rows: list[Row] = []
    for photo_set in sets:
        for seed in range(options.seeds):
            print(f"{photo_set.name}, seed {seed} …", file=sys.stderr, flush=True)
            rows += rows_for(photo_set, ablations, seed, settings, fresh=options.fresh)
            if options.out:
                told = {a.name: a.says for a in ablations}
                write_results(
                    options.out,
                    rows,
                    median_rows(rows),
                    bench=BENCH,
                    threads=settings.threads,
                    options=settings.options,
                    notes=told,
                )
    print(render(median_rows(rows)))
    print("\n".join([*(f"{a.name}: {a.says}" for a in ablations), *skipped]))


def _parse() -> argparse.Namespace:
    parser = set_parser(__doc__)
    add_run_options(parser)
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAMES",
        help=f"some ablations, with commas (default: all of {FOLDER.name}/ that the backend has)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
