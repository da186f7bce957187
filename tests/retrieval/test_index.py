"""The index: what it finds, growing it, storing it, and unusable input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from retrieval import Pair, RetrievalConfig, RetrievalError
from retrieval.codebook import Codebook, train_codebook
from retrieval.engine import build_index
from retrieval.index import RetrievalIndex


def build(images, size: int = 60, **options) -> RetrievalIndex:
    return RetrievalIndex.build(train_codebook(images.values(), size), images, **options)


def test_the_most_similar_photos_are_those_that_see_the_same(walk) -> None:
    index = build(walk(20))

    hits = index.query("010.jpg", 4)

    assert {hit.name for hit in hits[:2]} == {"009.jpg", "011.jpg"}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_query_by_descriptors_finds_the_photo_itself_first(walk) -> None:
    images = walk(10)
    index = build(images)

    assert index.query(images["004.jpg"], 1)[0].name == "004.jpg"
    assert index.query(np.empty((0, 40), np.float32), 5) == []


def test_hits_are_limited_to_the_names_to_keep(walk) -> None:
    index = build(walk(20))

    hits = index.query("010.jpg", 10, keep={"000.jpg", "008.jpg", "010.jpg", "not there.jpg"})

    assert hits[0].name == "008.jpg"
    assert {hit.name for hit in hits} <= {"000.jpg", "008.jpg"}
    assert index.query("010.jpg", 10, keep=set()) == []


@given(seed=st.integers(0, 1000), binary=st.booleans(), count=st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_scores_are_similarities(seed: int, binary: bool, count: int) -> None:
    rng = np.random.default_rng(seed)
    images = {str(i): rng.random((int(rng.integers(0, 9)), 6)).astype(np.float32) for i in range(6)}
    codebook = Codebook(rng.random((5, 6)).astype(np.float32))
    index = RetrievalIndex.build(codebook, images, binary=binary, multiple_assignment=count)

    scores = np.stack([index.scores(name) for name in index.names])

    assert (scores >= 0).all()
    assert (scores <= 1 + 1e-5).all()
    filled = np.array([len(array) > 0 for array in images.values()])
    assert not scores[~filled].any()
    assert not scores[:, ~filled].any()
    if count == 1:
        np.testing.assert_allclose(np.diag(scores)[filled], 1.0, atol=1e-4)
        np.testing.assert_allclose(scores, scores.T, atol=1e-6)


@given(seed=st.integers(0, 1000), cut=st.integers(0, 8), binary=st.booleans(), count=st.sampled_from([1, 3]))
@settings(max_examples=20, deadline=None)
def test_appending_equals_building_at_once(seed: int, cut: int, binary: bool, count: int) -> None:
    rng = np.random.default_rng(seed)
    images = {str(i): rng.random((int(rng.integers(0, 9)), 6)).astype(np.float32) for i in range(8)}
    codebook = Codebook(rng.random((5, 6)).astype(np.float32))
    whole = RetrievalIndex.build(codebook, images, binary=binary, multiple_assignment=count)

    items = list(images.items())
    grown = RetrievalIndex.build(codebook, dict(items[:cut]), binary=binary, multiple_assignment=count)
    grown.add(dict(items[cut:]))

    assert grown.names == whole.names
    for name in whole.names:
        np.testing.assert_array_equal(grown.scores(name), whole.scores(name))


def test_neighbours_are_what_queries_return(walk) -> None:
    index = build(walk(15), multiple_assignment=3)

    neighbours = index.all_neighbours(5)

    assert neighbours.names == index.names
    for row, name in enumerate(index.names):
        assert neighbours.hits(row) == index.query(name, 5)
        assert name not in {hit.name for hit in neighbours.hits(row)}


def test_more_neighbours_wanted_than_photos(walk) -> None:
    assert build(walk(3)).all_neighbours(50).ids.shape == (3, 2)
    alone = build(walk(1)).all_neighbours(5)
    assert alone.hits(0) == []


@pytest.mark.parametrize("count", [1, 5])
def test_similarity_is_the_mean_of_both_directions(walk, count: int) -> None:
    index = build(walk(8), multiple_assignment=count)

    one = index.similarity(Pair.of("001.jpg", "002.jpg"))

    there, back = index.scores("001.jpg")[2], index.scores("002.jpg")[1]
    assert one == pytest.approx((there + back) / 2)
    assert len(index.similarities([])) == 0


def test_photos_without_descriptors_stay_and_are_never_found(walk) -> None:
    images = {"empty.jpg": np.empty((0, 40), np.float32), **walk(5)}
    index = build(images)

    assert index.names[0] == "empty.jpg"
    assert index.query("empty.jpg", 5) == []
    assert all(hit.name != "empty.jpg" for name in index.names for hit in index.query(name, 9))


def test_one_descriptor_a_photo_and_identical_photos() -> None:
    single = {f"{i}": np.eye(4, dtype=np.float32)[i % 4 : i % 4 + 1] for i in range(8)}
    index = build(single, size=4)
    assert index.all_neighbours(9).ids.shape == (8, 7)

    same = {f"{i}": np.full((5, 4), 0.5, np.float32) for i in range(6)}
    codebook = Codebook(np.zeros((1, 4), np.float32))
    hits = RetrievalIndex.build(codebook, same).query("3", 9)
    assert [hit.name for hit in hits] == ["0", "1", "2", "4", "5"]
    assert {hit.score for hit in hits} == {1.0}


def test_an_empty_index_answers() -> None:
    index = RetrievalIndex.build(Codebook(np.eye(3, dtype=np.float32)), {})

    assert index.all_neighbours(5).ids.shape == (0, 1)
    assert index.query(np.eye(3, dtype=np.float32), 5) == []


def test_unusable_requests_are_named(walk) -> None:
    index = build(walk(3))

    with pytest.raises(RetrievalError, match="not in the index: nobody"):
        index.query("nobody", 3)
    with pytest.raises(RetrievalError, match="already in the index: 001"):
        index.add({"001.jpg": np.zeros((1, 40), np.float32)})
    with pytest.raises(RetrievalError, match="descriptors must be"):
        index.add({"new.jpg": np.zeros((1, 41), np.float32)})
    assert len(index) == 3


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("version", 99),
        ("names", ["a", "a", "b", "c"]),
        ("names", [1, 2, 3, 4]),
        ("options", {"binary": True}),
    ],
)
def test_damaged_headers_are_refused(walk, tmp_path: Path, part: str, value: object) -> None:
    path = tmp_path / "index"
    build(walk(4)).save(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    header = json.loads(metadata["header"])
    header[part] = value
    save_file(load_file(path), path, {**metadata, "header": json.dumps(header)})

    with pytest.raises(RetrievalError, match="index"):
        RetrievalIndex.load(path)


@pytest.mark.parametrize("binary", [True, False])
def test_a_stored_index_answers_alike_and_grows(walk, tmp_path: Path, binary: bool) -> None:
    images = walk(12, prefix="außen/schön ")
    items = list(images.items())
    index = build(dict(items[:9]), binary=binary, multiple_assignment=2)
    index.save(tmp_path / "index")

    loaded = RetrievalIndex.load(tmp_path / "index")
    for grown in (index, loaded):
        grown.add(dict(items[9:]))

    assert loaded.options == index.options
    assert loaded.names == tuple(images)
    for name in images:
        np.testing.assert_array_equal(loaded.scores(name), index.scores(name))


def test_damaged_and_foreign_index_files_are_named(walk, tmp_path: Path) -> None:
    path = tmp_path / "index"
    build(walk(4)).save(path)
    data = path.read_bytes()
    (tmp_path / "torn").write_bytes(data[: len(data) // 2])
    (tmp_path / "text").write_text("no index")
    Codebook(np.eye(2, dtype=np.float32)).save(tmp_path / "codebook")

    for name in ("torn", "text", "codebook", "gone"):
        with pytest.raises(RetrievalError, match=name):
            RetrievalIndex.load(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("posting_images", lambda a: a + 100),
        ("query_words", lambda a: a - 1),
        ("query_offsets", lambda a: a[::-1].copy()),
        ("posting_offsets", lambda a: a[:-1]),
        ("posting_codes", lambda a: a[:-1]),
        ("query_codes", lambda a: a.astype(np.float64)),
        ("centroids", lambda a: a * np.nan),
    ],
)
def test_parts_that_do_not_fit_are_refused(walk, tmp_path: Path, name: str, change) -> None:
    path = tmp_path / "index"
    build(walk(4)).save(path)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    arrays[name] = change(arrays[name])
    save_file(arrays, path, metadata)

    with pytest.raises(RetrievalError, match="index"):
        RetrievalIndex.load(path)


def test_the_configuration_chooses_engine_and_options(walk) -> None:
    images = walk(3)

    index = build_index(train_codebook(images.values()), images, RetrievalConfig(binary=False))

    assert isinstance(index, RetrievalIndex)
    assert not index.options.binary
