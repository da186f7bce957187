"""Databases of the peers: each way of choosing pairs, from the same described photos, made once."""

import itertools
from pathlib import Path

import pytest
from engines import pair_choices, peer_database

from sfm.colmap.database import FeatureDatabase
from sfm.config.loading import load_config

PHOTOS = 7


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for path in sorted((demo_data / "images").iterdir())[:PHOTOS]:
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests, so that photos are described once."""
    return tmp_path_factory.mktemp("cache")


def prepared(photos: Path, cache: Path, choice: str, threads: int = 2) -> peer_database.PeerDatabase:
    config = load_config(overrides=["sift.max_num_features=500"])
    return peer_database.prepare(photos, cache, threads=threads, config=config, choice=choice)


def pairs_in(made: peer_database.PeerDatabase) -> set[tuple[str, str]]:
    """All that were tried, also those without a single match."""
    return {(pair.a, pair.b) for pair in FeatureDatabase(Path(made.database)).pairs()}


@pytest.mark.parametrize("choice", ["vocabulary", "retrieval"])
def test_few_neighbours_are_few_pairs(
    photos: Path, cache: Path, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_choices, "NEIGHBOURS", 2)

    made = prepared(photos, cache, choice)

    pairs = pairs_in(made)
    assert made.num_pairs == len(pairs)
    assert {name for pair in pairs for name in pair} == {path.name for path in photos.iterdir()}
    assert PHOTOS <= len(pairs) <= 2 * PHOTOS
    assert made.match_s > 0
    assert (made.train_s > 0.05) == (choice == "vocabulary")


def test_photos_in_order_are_matched_with_those_that_follow(
    photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_choices, "OVERLAP", 2)
    names = sorted(path.name for path in photos.iterdir())

    pairs = pairs_in(prepared(photos, cache, "sequential"))

    assert set(itertools.pairwise(names)) <= pairs
    assert (names[0], names[-1]) not in pairs


def test_more_neighbours_than_photos_are_all_pairs_and_one_database(photos: Path, cache: Path) -> None:
    made = {choice: prepared(photos, cache, choice) for choice in ("exhaustive", "vocabulary", "retrieval")}

    assert len({each.database for each in made.values()}) == 1
    assert made["exhaustive"].num_pairs == PHOTOS * (PHOTOS - 1) // 2


def test_a_database_is_made_once(photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(photos, cache, "exhaustive")
    monkeypatch.setattr(peer_database, "CHOICES", {})

    assert prepared(photos, cache, "exhaustive") == first


def test_a_database_that_was_broken_off_is_no_database(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(job: pair_choices.Matching) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(peer_database.CHOICES, "exhaustive", killed)
        with pytest.raises(KeyboardInterrupt):
            prepared(photos, tmp_path, "exhaustive")

    assert prepared(photos, tmp_path, "exhaustive").num_verified_pairs > 0


def test_a_database_tells_with_what_and_when_it_was_made(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_choices, "NEIGHBOURS", 2)
    monkeypatch.setattr(peer_database, "today", lambda: "2026-01-01")
    first = prepared(photos, tmp_path, "exhaustive")
    monkeypatch.setattr(peer_database, "today", lambda: "2026-01-02")

    second = prepared(photos, tmp_path, "vocabulary")

    assert (first.threads, first.described_on, first.matched_on) == (2, "2026-01-01", "2026-01-01")
    assert (second.described_on, second.matched_on) == ("2026-01-01", "2026-01-02")
    assert (second.ingest_s, second.describe_s) == (first.ingest_s, first.describe_s)
