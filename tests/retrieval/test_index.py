"""The index: what it finds, growing it, storing it, and unusable input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from retrieval import Pair, RetrievalConfig, RetrievalError
from retrieval.codebook import Codebook, train_codebook
from retrieval.engine import build_index
from retrieval.index import AsmkOptions, RetrievalIndex


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


@pytest.mark.parametrize("count", [1, 5])
def test_similarity_is_the_mean_of_both_directions(walk, count: int) -> None:
    index = build(walk(8), multiple_assignment=count)

    (one,) = index.similarities([Pair.of("001.jpg", "002.jpg")])

    there, back = index.scores("001.jpg")[2], index.scores("002.jpg")[1]
    assert one == pytest.approx((there + back) / 2)
    assert len(index.similarities([])) == 0


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


def listed(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "index.json").read_text())


def segment_files(folder: Path) -> list[Path]:
    return [folder / name for name in listed(folder)["segments"]]


def rewrite(path: Path, change: Callable[[dict[str, np.ndarray], dict[str, str]], None]) -> None:
    """Change arrays and metadata of a safetensors file."""
    with safe_open(path, framework="numpy") as file:
        metadata = dict(file.metadata())
    arrays = load_file(path)
    change(arrays, metadata)
    save_file(arrays, path, metadata)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("kind", "a poem"),
        ("version", 99),
        ("source", None),
        ("options", {"binary": True}),
        ("options", {"binary": 1, "multiple_assignment": 1, "alpha": 3.0}),
        ("options", {"binary": True, "multiple_assignment": 0, "alpha": 3.0}),
        ("options", {"binary": True, "multiple_assignment": 1, "alpha": float("nan")}),
        ("options", {"binary": True, "multiple_assignment": 1, "alpha": 3.0, "threshold": 2.0}),
        ("segments", "all"),
        ("segments", ["../elsewhere"]),
        ("segments", ["segment-gone.safetensors"]),
        ("codebook", 3),
    ],
)
def test_damaged_lists_are_refused(walk, tmp_path: Path, part: str, value: object) -> None:
    build(walk(4)).save(tmp_path / "index")
    record = listed(tmp_path / "index")
    record[part] = value
    (tmp_path / "index" / "index.json").write_text(json.dumps(record))

    with pytest.raises(RetrievalError, match="index"):
        RetrievalIndex.load(tmp_path / "index")


def test_an_index_without_a_threshold_has_none(walk, tmp_path: Path) -> None:
    build(walk(4)).save(tmp_path / "index")
    record = listed(tmp_path / "index")
    del record["options"]["threshold"]
    (tmp_path / "index" / "index.json").write_text(json.dumps(record))

    assert RetrievalIndex.load(tmp_path / "index").options == AsmkOptions()


@pytest.mark.parametrize("content", [b"", b"no index", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_foreign_lists_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.json").write_bytes(content)

    with pytest.raises(RetrievalError, match=r"index\.json"):
        RetrievalIndex.load(tmp_path)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_a_stored_index_answers_alike_and_grows(walk, tmp_path: Path, binary: bool, count: int) -> None:
    images = walk(12, prefix="außen/schön ")
    items = list(images.items())
    index = build(dict(items[:9]), binary=binary, multiple_assignment=count)
    index.save(tmp_path / "index")

    loaded = RetrievalIndex.load(tmp_path / "index")
    for grown in (index, loaded):
        grown.add(dict(items[9:]))

    assert loaded.options == index.options
    assert loaded.names == tuple(images)
    for name in images:
        np.testing.assert_array_equal(loaded.scores(name), index.scores(name))


def test_adding_a_few_writes_one_small_file_and_leaves_the_others(walk, tmp_path: Path) -> None:
    images = list(walk(24).items())
    build(dict(images[:20])).save(tmp_path / "index")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}

    index = RetrievalIndex.load(tmp_path / "index")
    index.add(dict(images[20:22]))
    index.save(tmp_path / "index")
    index.save(tmp_path / "index")

    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "index").iterdir()}
    assert len(after) == len(before) + 1
    assert all(after[name] == time for name, time in before.items() if name != "index.json")
    old, new = (path.stat().st_size for path in segment_files(tmp_path / "index"))
    assert new < old / 5


def test_segments_that_were_joined_leave_no_files_behind(walk, tmp_path: Path) -> None:
    images = list(walk(9).items())
    index = build(dict(images[:4]))
    index.save(tmp_path / "index")

    for name, descriptors in images[4:]:
        index.add({name: descriptors})
        index.save(tmp_path / "index")

    loaded = RetrievalIndex.load(tmp_path / "index")
    assert loaded.names == index.names
    assert loaded.num_segments == index.num_segments <= 4
    assert len(list((tmp_path / "index").iterdir())) == 2 + index.num_segments


@given(parts=st.lists(st.integers(1, 40), max_size=12))
def test_however_images_were_added_segments_are_few(parts: list[int]) -> None:
    index = RetrievalIndex.build(Codebook(np.eye(2, dtype=np.float32)), {})
    for i, count in enumerate(parts):
        index.add({f"{i} {j}": np.ones((1, 2), np.float32) for j in range(count)})

    assert len(index) == sum(parts)
    assert index.num_segments <= 1 + np.log2(max(1, len(index)))


def test_saving_over_another_index_replaces_it(walk, tmp_path: Path) -> None:
    build(walk(5, prefix="old ")).save(tmp_path / "index")

    build(walk(3, prefix="new ")).save(tmp_path / "index")

    assert RetrievalIndex.load(tmp_path / "index").names == ("new 000.jpg", "new 001.jpg", "new 002.jpg")
    assert len(list((tmp_path / "index").iterdir())) == 3


def test_files_of_others_in_the_folder_stay(walk, tmp_path: Path) -> None:
    theirs = tmp_path / "model-00001-of-00002.safetensors"
    theirs.write_bytes(b"mine")

    build(walk(3)).save(tmp_path)
    build(walk(4)).save(tmp_path)

    assert theirs.read_bytes() == b"mine"


def test_damaged_and_foreign_files_are_named(walk, tmp_path: Path) -> None:
    build(walk(4)).save(tmp_path / "index")
    build(walk(4)).save(tmp_path / "other")
    (path,) = segment_files(tmp_path / "index")
    whole = path.read_bytes()
    (foreign,) = segment_files(tmp_path / "other")

    for content in (whole[: len(whole) // 2], b"", b"no segment", foreign.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(RetrievalError, match=path.name):
            RetrievalIndex.load(tmp_path / "index")
    path.unlink()
    with pytest.raises(RetrievalError, match=path.name):
        RetrievalIndex.load(tmp_path / "index")
    with pytest.raises(RetrievalError, match="gone"):
        RetrievalIndex.load(tmp_path / "gone")


def test_another_backends_index_is_refused(walk, tmp_path: Path) -> None:
    images = walk(4)
    codebook = train_codebook(images.values(), 20)
    RetrievalIndex.build(codebook, images, source="sift 1000").save(tmp_path / "index")

    assert RetrievalIndex.load(tmp_path / "index", source="sift 1000").source == "sift 1000"
    with pytest.raises(RetrievalError, match="descriptors of sift 1000, not of mast3r"):
        RetrievalIndex.load(tmp_path / "index", source="mast3r")
    with pytest.raises(RetrievalError, match=r"must be \(n, 40\) float32"):
        RetrievalIndex.load(tmp_path / "index").query(np.zeros((2, 24), np.float32), 3)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("words", lambda a: a[::-1].copy()),
        ("words", lambda a: a - 1),
        ("words", lambda a: a + 1000),
        ("counts", lambda a: a + 1),
        ("counts", lambda a: -a),
        ("images", lambda a: a[:-1]),
        ("codes", lambda a: a[:, :-1].copy()),
        ("codes", lambda a: a.astype(np.float64)),
        ("offsets", lambda a: a[::-1].copy()),
        ("offsets", lambda a: a[:-1]),
        ("rows", lambda a: a.astype(np.int64)),
        ("asking_offsets", lambda a: a + 1),
        ("asking_words", lambda a: a[1:]),
        ("asking_codes", lambda a: a[:-1]),
    ],
)
def test_parts_that_do_not_fit_are_refused(walk, tmp_path: Path, name: str, change) -> None:
    build(walk(4), multiple_assignment=2).save(tmp_path / "index")
    (path,) = segment_files(tmp_path / "index")
    rewrite(path, lambda arrays, _: arrays.update({name: change(arrays[name])}))

    with pytest.raises(RetrievalError, match=path.name):
        RetrievalIndex.load(tmp_path / "index")


@pytest.mark.parametrize("names", ['["a", "a", "b", "c"]', "[1, 2, 3, 4]", '["a"]', "{", '"abcd"'])
def test_damaged_names_are_refused(walk, tmp_path: Path, names: str) -> None:
    build(walk(4)).save(tmp_path / "index")
    (path,) = segment_files(tmp_path / "index")
    rewrite(path, lambda _, metadata: metadata.update(names=names))

    with pytest.raises(RetrievalError, match="index"):
        RetrievalIndex.load(tmp_path / "index")


@pytest.mark.parametrize(
    ("name", "change", "binary"),
    [
        ("images", lambda a: a + 100, True),
        ("images", lambda a: a - 100, False),
        ("rows", lambda a: a + 10**6, True),
        ("rows", lambda a: a - 10**6, True),
        ("codes", lambda a: np.full_like(a, np.nan), False),
    ],
)
def test_damage_in_what_is_only_mapped_shows_on_use(
    walk, tmp_path: Path, name: str, change, binary: bool
) -> None:
    build(walk(4), binary=binary).save(tmp_path / "index")
    (path,) = segment_files(tmp_path / "index")
    rewrite(path, lambda arrays, _: arrays.update({name: change(arrays[name])}))

    index = RetrievalIndex.load(tmp_path / "index")

    with pytest.raises(RetrievalError, match="damaged"):
        index.query("001.jpg", 3)
    with pytest.raises(RetrievalError, match="damaged"):
        index.all_neighbours(3)


@pytest.mark.parametrize("binary", [True, False])
def test_photos_of_nothing_in_common(binary: bool) -> None:
    eye = np.eye(6, dtype=np.float32)
    images = {f"{i}": eye[i : i + 1] + np.float32(0.1) for i in range(6)}

    index = RetrievalIndex.build(Codebook(eye), images, binary=binary)

    assert (index.all_neighbours(3).ids == -1).all()
    assert index.query("2", 5) == []
    assert index.similarities([Pair.of("0", "1")]) == [0.0]


def test_the_configuration_chooses_engine_and_options(walk) -> None:
    images = walk(3)

    index = build_index(train_codebook(images.values()), images, RetrievalConfig(binary=False))

    assert isinstance(index, RetrievalIndex)
    assert not index.options.binary
