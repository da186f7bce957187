"""The same scores as the published reference, stored and live."""

import weakref
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from retrieval.asmk import aggregate
from retrieval.codebook import Codebook, train_codebook
from retrieval.index import RetrievalIndex

FIXTURES = Path(__file__).parent / "data" / "asmk.npz"
"""Inputs and outputs of asmk 2a96d9c: 128 dimensions with 64 words, and 40 dimensions with 32."""
TOLERANCE = 1e-6


def stored(
    prefix: str, path: Path = FIXTURES
) -> tuple[Codebook, dict[str, np.ndarray], dict[str, np.ndarray]]:
    with np.load(path) as file:
        arrays = {k.removeprefix(prefix + "_"): file[k] for k in file.files if k.startswith(prefix)}
    owners = arrays["imids"]
    images = {f"{i:03d}": arrays["desc"][owners == i] for i in range(owners.max() + 1)}
    return Codebook(arrays["centroids"]), images, arrays


def all_scores(index: RetrievalIndex) -> np.ndarray:
    return np.stack([index.scores(name) for name in index.names])


@pytest.mark.parametrize("prefix", ["d128_K64", "d40_K32"])
def test_stored_words_and_codes(prefix: str) -> None:
    codebook, images, expected = stored(prefix)

    np.testing.assert_array_equal(codebook.assign(expected["desc"], 5), expected["word_ids_ma5"])
    np.testing.assert_array_equal(codebook.assign(expected["desc"], 1), expected["word_ids_ma1"])
    for name, count, key in (("000", 5, "query_img0"), ("001", 1, "db_img1")):
        ours = aggregate(codebook, [images[name]], count, binary=True)
        np.testing.assert_array_equal(ours.words, expected[f"{key}_words"])
        words = ours.codes.view(np.uint8).view(">u4")  # the reference packs into 32 bits, first bit highest
        width = expected[f"{key}_codes"].shape[1]
        np.testing.assert_array_equal(words[:, :width], expected[f"{key}_codes"])
        assert not words[:, width:].any()


@pytest.mark.parametrize(
    ("prefix", "key", "binary"),
    [("d128_K64", "scores", True), ("d128_K64", "scores_nonbinary", False), ("d40_K32", "scores", True)],
)
def test_stored_scores(prefix: str, key: str, binary: bool) -> None:
    codebook, images, expected = stored(prefix)

    index = RetrievalIndex.build(codebook, images, multiple_assignment=5, binary=binary)

    np.testing.assert_allclose(all_scores(index), expected[key], atol=TOLERANCE)


@pytest.mark.shared
def test_stored_scores_of_descriptors_as_long_as_the_networks(shared_data: Path) -> None:
    path = shared_data.parent / "parity" / "retrieval" / "asmk.npz"
    codebook, images, expected = stored("d1024_K48", path)

    index = RetrievalIndex.build(codebook, images, multiple_assignment=5)

    np.testing.assert_array_equal(codebook.assign(expected["desc"], 5), expected["word_ids_ma5"])
    scores = all_scores(index)
    np.testing.assert_allclose(scores, expected["scores"], atol=TOLERANCE)
    np.testing.assert_array_equal(np.argsort(-scores, axis=1), np.argsort(-expected["scores"], axis=1))


@pytest.mark.parametrize("dim", [24, 40, 64, 100])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("multiple_assignment", [1, 5])
@pytest.mark.parametrize(("alpha", "threshold"), [(3.0, 0.0), (2.0, 0.25)])
def test_live_engine_agrees(
    dim: int, binary: bool, multiple_assignment: int, alpha: float, threshold: float, walk
) -> None:
    pytest.importorskip("asmk", reason="needs the asmk extra")
    from retrieval.reference import ReferenceIndex

    images = walk(8, dim=dim, seed=dim, view=20)
    images["nothing.jpg"] = np.empty((0, dim), np.float32)
    images["last.jpg"] = images["003.jpg"][:5]
    codebook = train_codebook(images.values(), 30)
    options = {
        "multiple_assignment": multiple_assignment,
        "binary": binary,
        "alpha": alpha,
        "threshold": threshold,
    }

    ours, theirs = RetrievalIndex(codebook, _options(options)), ReferenceIndex(codebook, **options)
    for part in (dict(list(images.items())[:4]), dict(list(images.items())[4:])):
        ours.add(part)
        theirs.add(part)

    assert ours.names == theirs.names
    expected = np.stack([theirs.scores(name) for name in theirs.names])
    np.testing.assert_allclose(all_scores(ours), expected, atol=TOLERANCE)
    mine, other = ours.all_neighbours(3), theirs.all_neighbours(3)
    np.testing.assert_array_equal(mine.ids, other.ids)
    np.testing.assert_allclose(mine.scores, other.scores, atol=TOLERANCE)
    assert [h.name for h in ours.query("003.jpg", 2)] == [h.name for h in theirs.query("003.jpg", 2)]
    from retrieval import Pair

    pairs = [Pair.of("000.jpg", "001.jpg"), Pair.of("003.jpg", "nothing.jpg"), Pair.of("004.jpg", "last.jpg")]
    np.testing.assert_allclose(ours.similarities(pairs), theirs.similarities(pairs), atol=TOLERANCE)


def test_the_reference_holds_the_scores_of_one_photo_at_a_time(walk, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("asmk", reason="needs the asmk extra")
    from retrieval import Pair
    from retrieval.reference import ReferenceIndex

    images = walk(8)
    index = ReferenceIndex(train_codebook(images.values(), 30))
    index.add(images)
    compute, seen, alive = index.scores, [], []

    def watched(name: str) -> np.ndarray:
        alive.append(sum(scores() is not None for scores in seen))
        result = compute(name)
        seen.append(weakref.ref(result))
        return result

    monkeypatch.setattr(index, "scores", watched)
    index.similarities([Pair.of(a, b) for a, b in combinations(images, 2)])

    assert alive == [0] * 8


def _options(options):
    from retrieval.index import AsmkOptions

    return AsmkOptions(**options)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, walk) -> None:
    import sys

    from retrieval import RetrievalConfig
    from retrieval.engine import build_index
    from retrieval.errors import MissingEngineError

    monkeypatch.setitem(sys.modules, "asmk", None)
    monkeypatch.delitem(sys.modules, "retrieval.reference", raising=False)
    images = walk(3)

    with pytest.raises(MissingEngineError, match="pip install asmk"):
        build_index(train_codebook(images.values()), images, RetrievalConfig(engine="asmk"))
