"""No damaged file ends in a traceback, a hang or a crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import Bench, fuzz
from .readers import READERS

EXECUTIONS = 2000
_SHARES = 4
"""Tests that divide the readers, to run side by side: a process of each has all libraries to import."""


@pytest.mark.parametrize("share", range(_SHARES))
def test_damaged_files_are_read_or_refused_with_a_documented_error(share: int) -> None:
    names = list(READERS)[share::_SHARES]

    tally = fuzz(names, range(EXECUTIONS), processes=1)

    assert tally.failures == []
    assert sum(tally.counts.values()) == sum(EXECUTIONS // READERS[name].slowness for name in names)


@pytest.mark.parametrize("name", ["text model", "database", "run record"])
def test_a_seed_damages_the_same_file_in_the_same_way(name: str, tmp_path: Path) -> None:
    benches = Bench(name, tmp_path / "a"), Bench(name, tmp_path / "b")

    damages = [[bench.damage(seed).read_bytes() for seed in (7, 8, 7)] for bench in benches]

    assert damages[0] == damages[1]
    assert damages[0][0] == damages[0][2] != damages[0][1]


@pytest.mark.parametrize(
    ("name", "seed"),
    [("report", 237990570), ("report", 737990382), ("report", 737990898)],
    ids=["a camera at infinity", "no notice", "no notice either"],
)
def test_files_that_ended_in_a_traceback_once(name: str, seed: int, tmp_path: Path) -> None:
    bench = Bench(name, tmp_path / "files")
    bench.damage(seed)

    bench.reader.read(bench.folder)
