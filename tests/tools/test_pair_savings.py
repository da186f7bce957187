from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pair_savings
import pytest

from retrieval import Pair
from sfm.config.schema import Config

NAMES = tuple(f"{number:02d}.jpg" for number in range(20))
CHOSEN = [Pair(a, b) for a, b in pairwise(NAMES)]


class Store:
    """Photos of which random pairs take 20 ms each and neighbours 5 ms."""

    names = NAMES
    collection = database = None

    def __init__(self, folder: Path) -> None:
        self.workspace = SimpleNamespace(cache=folder)
        self.backend = self
        self.batches: list[tuple[str, int]] = []

    def new_database(self, path: Path) -> Path:
        return path

    def match(self, edges: Any, collection: None, database: Path) -> None:
        self.batches.append((database.stem, len(edges)))
        time.sleep(len(edges) * (0.02 if database.stem == "random" else 0.005))


def test_savings_are_all_pairs_over_retrieval_and_chosen_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_savings, "propose_pairs", lambda *_, **__: time.sleep(0.1))
    store: Any = Store(tmp_path)

    found = pair_savings.savings("some", store, CHOSEN, Config(), 60)

    assert (found.all_pairs, found.chosen_pairs, found.sampled) == (190, 19, (60, 19))
    assert store.batches == [("random", 50), ("chosen", 19), ("random", 10)]
    assert found.pair_s == pytest.approx((0.02, 0.005), rel=0.5)
    # 190 * 20 ms over 100 ms and 19 * 5 ms
    assert found.times_faster == pytest.approx(19.5, rel=0.4)


def test_only_one_set_and_a_run_on_it_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["pair_savings.py", "a", "b", "--run", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match="2"):
        pair_savings.main()
    assert "name one set" in capsys.readouterr().err

    monkeypatch.setattr("sys.argv", ["pair_savings.py", "a", "--run", str(tmp_path)])
    with pytest.raises(SystemExit, match="holds no pairs"):
        pair_savings.main()
