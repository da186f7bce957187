"""No damaged file ends in a traceback, a hang or a crash."""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from sfm.errors import InputError

from .harness import Bench, fuzz
from .readers import READERS

SEEDS = [range(160), pytest.param(range(160, 2000), marks=pytest.mark.slow)]


@pytest.mark.parametrize("seeds", SEEDS, ids=["some", "many"])
def test_damaged_files_are_read_or_refused_with_a_documented_error(seeds: range) -> None:
    tally = fuzz(list(READERS), seeds, processes=1)

    assert tally.failures == []
    assert sum(tally.counts.values()) == sum(len(seeds) // READERS[name].slowness for name in READERS)


@pytest.mark.parametrize("name", ["text model", "database", "run record"])
def test_a_seed_damages_the_same_file_in_the_same_way(name: str, tmp_path: Path) -> None:
    benches = Bench(name, tmp_path / "a"), Bench(name, tmp_path / "b")

    damages = [[bench.damage(seed).read_bytes() for seed in (7, 8, 7)] for bench in benches]

    assert damages[0] == damages[1]
    assert damages[0][0] == damages[0][2] != damages[0][1]


@pytest.mark.parametrize(
    ("name", "seed"),
    [("report", 237990570), ("report", 737990382), ("report", 737990898), ("report", 980060998)],
    ids=["a camera at infinity", "no notice", "no notice either", "no observations"],
)
def test_files_that_ended_in_a_traceback_once(name: str, seed: int, tmp_path: Path) -> None:
    bench = Bench(name, tmp_path / "files")
    bench.damage(seed)

    with suppress(InputError):
        bench.reader.read(bench.folder)


def test_a_record_without_any_one_of_its_figures_is_read_or_refused(tmp_path: Path) -> None:
    bench = Bench("report", tmp_path / "files")
    file = bench.folder / "run.json"
    record = json.loads(file.read_text())
    places = list(_places(record))
    assert len(places) > 60

    for place in places:
        damaged = json.loads(json.dumps(record))
        *way, last = place
        del reduce(getitem, way, damaged)[last]
        file.write_text(json.dumps(damaged))
        with suppress(InputError):
            bench.reader.read(bench.folder)


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The way to each key of a document; of a list to those of its first and its last entry."""
    parts = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list) and value:
        parts = [(0, value[0]), (-1, value[-1])]
    for key, part in parts:
        if isinstance(value, dict):
            yield (key,)
        yield from ((key, *rest) for rest in _places(part))
