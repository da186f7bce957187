"""Training, looking up and storing visual words."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from retrieval import RetrievalError
from retrieval.codebook import Codebook, codebook_size, train_codebook
from retrieval.index import RetrievalIndex


def test_size_grows_with_the_data_within_bounds() -> None:
    sizes = [codebook_size(n) for n in (0, 1_000, 100_000, 10_000_000, 10**9)]

    assert sizes == sorted(sizes)
    assert sizes[0] == 64
    assert sizes[-1] == 65536


def test_never_more_words_than_descriptors(capfd: pytest.CaptureFixture[str]) -> None:
    one = np.ones((1, 8), np.float32)

    assert len(train_codebook([one])) == 1
    assert len(train_codebook([one, one * 2], size=500)) == 2
    assert capfd.readouterr() == ("", "")  # faiss warns on C level if it is let


def test_identical_descriptors_can_be_trained_on() -> None:
    codebook = train_codebook([np.full((50, 4), 0.5, np.float32)], size=10)

    assert len(codebook) == 10
    assert np.isfinite(codebook.centroids).all()


def test_training_is_repeatable_and_follows_the_seed() -> None:
    images = [np.random.default_rng(i).random((200, 16)).astype(np.float32) for i in range(20)]

    first, again = train_codebook(images, 8, seed=3), train_codebook(images, 8, seed=3)
    other = train_codebook(images, 8, seed=4)

    np.testing.assert_array_equal(first.centroids, again.centroids)
    assert not np.array_equal(first.centroids, other.centroids)


def test_a_large_collection_is_sampled_over_all_images() -> None:
    far_apart = [np.full((500, 4), 10.0 * i, np.float32) for i in range(5)]

    codebook = train_codebook(far_apart, 25)

    distances = np.linalg.norm(codebook.centroids[:, None] - np.array([p[0] for p in far_apart]), axis=2)
    assert distances.min(axis=0).max() < 1.0


def test_assignment_is_nearest_first_and_bounded_by_the_size() -> None:
    codebook = Codebook(np.array([[0, 0], [1, 0], [5, 0]], np.float32))

    words = codebook.assign(np.array([[0.9, 0], [4, 0]], np.float32), count=9)

    assert words.tolist() == [[1, 0, 2], [2, 1, 0]]
    assert codebook.assign(np.empty((0, 2), np.float32), count=2).shape == (0, 2)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((3, 5), np.float32),
        np.zeros((3, 2)),
        np.zeros(2, np.float32),
        np.full((1, 2), np.nan, np.float32),
    ],
)
def test_unfit_descriptors_are_refused(bad: np.ndarray) -> None:
    codebook = Codebook(np.eye(2, dtype=np.float32))

    with pytest.raises(RetrievalError, match="descriptors"):
        codebook.assign(bad)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(RetrievalError, match="no descriptors"):
        train_codebook([np.empty((0, 8), np.float32)])


def test_stored_codebook_comes_back(tmp_path: Path) -> None:
    codebook = Codebook(np.random.default_rng(0).random((5, 3)).astype(np.float32))

    codebook.save(tmp_path / "words.safetensors")

    loaded = Codebook.load(tmp_path / "words.safetensors")
    np.testing.assert_array_equal(loaded.centroids, codebook.centroids)
    assert [p.name for p in tmp_path.iterdir()] == ["words.safetensors"]


def test_unusable_files_are_named(tmp_path: Path) -> None:
    kind = {"kind": "retrieval codebook"}
    good = np.ones((2, 2), np.float32)
    save_file({"centroids": good}, tmp_path / "foreign", {})
    save_file({"words": good}, tmp_path / "other_array", kind)
    save_file({"centroids": good.astype(np.float64)}, tmp_path / "other_type", kind)
    save_file({"centroids": good[0]}, tmp_path / "other_shape", kind)
    save_file({"centroids": good * np.nan}, tmp_path / "nan", kind)
    save_file({"centroids": good[:0]}, tmp_path / "empty", kind)
    (tmp_path / "pickle").write_bytes(b"\x80\x04K\x01.")
    whole = tmp_path / "whole"
    Codebook(good).save(whole)
    (tmp_path / "torn").write_bytes(whole.read_bytes()[:-4])

    for name in (
        "foreign",
        "other_array",
        "other_type",
        "other_shape",
        "nan",
        "empty",
        "pickle",
        "torn",
        "gone",
    ):
        with pytest.raises(RetrievalError, match=name):
            Codebook.load(tmp_path / name)


@pytest.mark.parametrize("seed", range(5))
def test_of_two_images_those_that_show_the_same_are_alike(walk, seed: int) -> None:
    images = {**walk(1, view=200, seed=seed), **walk(1, view=200, seed=seed, prefix="again-")}
    noise = np.random.default_rng(seed).standard_normal((200, 40)).astype(np.float32)
    images["again-000.jpg"] += 0.1 * noise
    codebook = train_codebook(images.values(), seed=seed)

    (hit,) = RetrievalIndex.build(codebook, images).query("000.jpg", 5)

    assert hit.name == "again-000.jpg"
    assert hit.score > 0.1
