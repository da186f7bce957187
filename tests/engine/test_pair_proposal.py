"""What the first scene graph is told of the photos."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval import RetrievalConfig, SceneGraph
from retrieval.codebook import Codebook
from retrieval.index import RetrievalIndex
from retrieval.mast3r_sfm_graph import pair_graph
from sfm.pairs.first_pairs import needs_index, propose_pairs, save_scene_graph, stored_edges
from sfm.types import Collection, Exif, Photo
from sfm.workspace.events import NullEvents


def located(name: str, exif: Exif) -> Photo:
    return Photo(name, Path(name), Path(name), "x", 640, 480, 1, 1, exif)


def test_small_collections_need_no_index() -> None:
    assert not needs_index(20, RetrievalConfig())
    assert needs_index(21, RetrievalConfig())
    assert not needs_index(1000, RetrievalConfig(mode="exhaustive"))
    assert needs_index(10, RetrievalConfig(mode="sequential"))
    assert not needs_index(10, RetrievalConfig(mode="sequential+retrieval"))
    assert not needs_index(1000, RetrievalConfig(mode="sequential+exhaustive"))
    assert needs_index(10, RetrievalConfig(mode="mast3r-sfm+exhaustive"))


@pytest.mark.parametrize("mode", ["retrieval+exhaustive", "exhaustive+sequential+retrieval"])
def test_retrieval_beside_every_pair_has_the_index_that_it_asks_for(mode: str) -> None:
    assert needs_index(21, RetrievalConfig(mode=mode))
    assert not needs_index(20, RetrievalConfig(mode=mode))


class WordsOfItsOwn:
    """A backend whose visual words come with it."""

    def __init__(self) -> None:
        chance = np.random.default_rng(0)
        self.words = Codebook(chance.standard_normal((8, 4)).astype(np.float32))
        self.key = "first"
        self.asked = 0
        self.described: list[str] = []

    def retrieval_key(self, collection: Collection) -> str:
        return self.key

    def retrieval_descriptors(
        self, collection: Collection, database: object, names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        self.asked += 1
        self.described = list(names)
        chance = np.random.default_rng(1)
        return {name: chance.standard_normal((20, 4)).astype(np.float32) for name in names}

    def codebook(self) -> Codebook:
        return self.words


def propose(
    backend: WordsOfItsOwn, cache: Path, count: int = 12, changed: int = -1, **options: object
) -> SceneGraph:
    photos = tuple(
        replace(located(f"{i:02d}.jpg", Exif()), sha256="y" if i == changed else "x") for i in range(count)
    )
    graph, _ = propose_pairs(
        Collection(photos, {}),
        None,  # type: ignore[arg-type]
        cache_dir=cache,
        backend=backend,  # type: ignore[arg-type]
        config=RetrievalConfig(exhaustive_max_photos=0, **options),  # type: ignore[arg-type]
        seed=0,
        events=NullEvents(),
    )
    return graph


def test_visual_words_may_come_with_the_backend_into_a_fresh_workspace(tmp_path: Path) -> None:
    backend = WordsOfItsOwn()
    assert len(propose(backend, tmp_path / "cache")) > 0
    assert not list((tmp_path / "cache" / "index").glob("codebook-*"))


def test_the_index_is_made_again_when_what_descriptors_depend_on_has_changed(tmp_path: Path) -> None:
    backend = WordsOfItsOwn()
    propose(backend, tmp_path)
    propose(backend, tmp_path)
    assert backend.asked == 1
    backend.key = "another whitening"
    propose(backend, tmp_path)
    assert backend.asked == 2


def test_added_photos_are_added_to_the_index(tmp_path: Path) -> None:
    backend = WordsOfItsOwn()
    propose(backend, tmp_path, count=12)
    codes = set(tmp_path.glob("index/*/segment-*"))

    graph = propose(backend, tmp_path, count=14)

    assert backend.described == ["12.jpg", "13.jpg"]
    assert len(graph.images) == 14
    assert codes < set(tmp_path.glob("index/*/segment-*"))


def test_words_are_chosen_anew_at_a_doubling_but_not_for_a_few_photos_that_reach_it(tmp_path: Path) -> None:
    backend = WordsOfItsOwn()
    propose(backend, tmp_path, count=14)

    propose(backend, tmp_path, count=18)
    assert backend.described == ["14.jpg", "15.jpg", "16.jpg", "17.jpg"]
    propose(backend, tmp_path, count=18)
    assert backend.asked == 2

    propose(backend, tmp_path, count=40)
    assert len(backend.described) == 40


def test_the_index_is_made_again_when_a_photo_has_changed_or_gone(tmp_path: Path) -> None:
    backend = WordsOfItsOwn()
    propose(backend, tmp_path, count=14)
    propose(backend, tmp_path, count=14, changed=3)
    assert len(backend.described) == 14
    propose(backend, tmp_path, count=13, changed=3)
    assert (backend.asked, len(backend.described)) == (3, 13)


def test_an_index_whose_run_ended_before_its_photos_were_noted_is_made_again(tmp_path: Path) -> None:
    backend = WordsOfItsOwn()
    propose(backend, tmp_path, count=12)
    (noted,) = tmp_path.glob("index/*/photos.json")
    earlier = noted.read_bytes()
    propose(backend, tmp_path, count=14)
    noted.write_bytes(earlier)

    propose(backend, tmp_path, count=14)

    assert (backend.asked, len(backend.described)) == (3, 14)


def index_folder(cache: Path) -> Path:
    (path,) = (path for path in (cache / "index").iterdir() if path.is_dir())
    return path


@pytest.mark.parametrize("damage", [b"", b"not an index at all", b"\xff" * 200])
def test_a_damaged_index_is_made_again_with_a_warning(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    backend = WordsOfItsOwn()
    before = propose(backend, tmp_path)
    for part in ("index.json", "codebook-*", "segment-*", "photos.json"):
        (path,) = index_folder(tmp_path).glob(part)
        content = path.read_bytes()
        path.write_bytes(damage or content[:-10])
        assert propose(backend, tmp_path) == before
        assert "the retrieval index is made again" in caplog.text
        caplog.clear()
        assert set(RetrievalIndex.load(index_folder(tmp_path)).names) == set(before.images)


def test_an_index_of_another_backend_is_made_again_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = WordsOfItsOwn()
    before = propose(backend, tmp_path)
    codebook = Codebook(np.eye(7, dtype=np.float32))
    descriptors = {name: np.eye(7, dtype=np.float32) for name in before.images}
    folder = index_folder(tmp_path)
    noted = (folder / "photos.json").read_bytes()
    shutil.rmtree(folder)
    RetrievalIndex.build(codebook, descriptors, source="another").save(folder)
    (folder / "photos.json").write_bytes(noted)

    assert propose(backend, tmp_path) == before
    assert "the retrieval index is made again" in caplog.text


class Trained(WordsOfItsOwn):
    """A backend whose visual words are trained on the collection."""

    def codebook(self) -> None:  # type: ignore[override]
        return None


def test_damaged_visual_words_are_trained_again_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = propose(Trained(), tmp_path)
    (words,) = (tmp_path / "index").glob("codebook-*")
    words.write_bytes(b"no words")

    shutil.rmtree(index_folder(tmp_path))
    assert propose(Trained(), tmp_path) == before
    assert "damaged visual words are trained again" in caplog.text
    assert len(Codebook.load(words)) > 0


@pytest.mark.parametrize(("size", "warned"), [(240, True), (1000, True), (40, False), (None, False)])
def test_as_many_words_as_features_are_warned_of(
    tmp_path: Path, size: int | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    propose(Trained(), tmp_path, codebook_size=size)  # of 12 photos with 20 features each

    assert ("no photo will be like another" in caplog.text) == warned


class Featureless(Trained):
    """A backend that finds nothing in the photos."""

    def retrieval_descriptors(
        self, collection: Collection, database: object, names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        return {name: np.empty((0, 4), np.float32) for name in names}


def test_photos_without_features_give_no_pairs_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert len(propose(Featureless(), tmp_path)) == 0
    assert "no photo has a single feature" in caplog.text


def test_photos_added_to_featureless_ones_get_words_of_their_own(tmp_path: Path) -> None:
    propose(Featureless(), tmp_path, count=8)

    propose(Trained(), tmp_path, count=12)

    assert len(RetrievalIndex.load(index_folder(tmp_path)).codebook) > 1


@pytest.mark.parametrize(
    ("mode", "used"),
    [("spatial", "retrieval"), ("sequential+spatial", "sequential"), ("spatial+pairs", "pairs")],
)
def test_without_positions_the_other_modes_are_used(
    tmp_path: Path, mode: str, used: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pairs.txt").write_text("00.jpg 07.jpg\n", encoding="utf-8")
    options = {"pairs_file": str(tmp_path / "pairs.txt")}

    graph = propose(WordsOfItsOwn(), tmp_path, mode=mode, **options)

    assert graph == propose(WordsOfItsOwn(), tmp_path, mode=used, **options)
    assert f"retrieval.mode={used} is used instead of {mode}" in caplog.text


def test_the_graph_of_mast3r_sfm_comes_from_the_backends_descriptors(tmp_path: Path) -> None:
    graph = propose(WordsOfItsOwn(), tmp_path, mode="mast3r-sfm", mast3r_sfm_graph="retrieval-4-2")

    index = RetrievalIndex.load(index_folder(tmp_path))
    similarity = np.array([index.scores(name) for name in index.names])
    assert set(graph.edges) == set(pair_graph("retrieval-4-2", 12, similarity=similarity).edges(index.names))


def test_proposed_pairs_are_on_record_until_the_next_proposal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graph = propose(WordsOfItsOwn(), tmp_path)
    assert stored_edges(tmp_path) == graph.edges

    other = propose(WordsOfItsOwn(), tmp_path, mode="sequential", loop_detection=False)
    assert stored_edges(tmp_path) == other.edges

    save_scene_graph(graph, tmp_path)
    assert stored_edges(tmp_path) == {**other.edges, **graph.edges}
    (tmp_path / "scene_graph.json").write_text("[]")
    assert stored_edges(tmp_path) == other.edges
    assert "scene_graph.json is damaged" in caplog.text
