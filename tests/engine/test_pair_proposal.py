"""What the first scene graph is told of the photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from retrieval import RetrievalConfig, SceneGraph
from retrieval.codebook import Codebook
from sfm.events import NullEvents
from sfm.pair_proposal import needs_index, positions_enu, propose_pairs
from sfm.types import CameraSpec, Collection, Exif, Photo

CAMERA = CameraSpec(1, "SIMPLE_RADIAL", 640, 480, (700.0, 320.0, 240.0, 0.0), False)


def located(name: str, exif: Exif) -> Photo:
    return Photo(name, Path(name), Path(name), "x", 640, 480, 1, 1, exif)


def test_positions_are_metres_east_north_and_up_of_the_first_photo() -> None:
    photos = (
        located("a.jpg", Exif(latitude_deg=47.0, longitude_deg=8.0, altitude_m=400.0)),
        located("b.jpg", Exif(latitude_deg=47.001, longitude_deg=8.0, altitude_m=410.0)),
        located("c.jpg", Exif(latitude_deg=47.0, longitude_deg=8.001, altitude_m=None)),
        located("d.jpg", Exif()),
    )

    positions = positions_enu(Collection(photos, {1: CAMERA}))

    # A degree of latitude is 111.2 km at 47 degrees, one of longitude 76.1 km (WGS84).
    assert set(positions) == {"a.jpg", "b.jpg", "c.jpg"}
    np.testing.assert_allclose(positions["b.jpg"], [0, 111.2, 10], atol=0.1)
    np.testing.assert_allclose(positions["c.jpg"][:2], [76.1, 0], atol=0.1)


def test_no_gps_no_positions() -> None:
    assert positions_enu(Collection((located("a.jpg", Exif()),), {1: CAMERA})) == {}


def test_small_collections_need_no_index() -> None:
    assert not needs_index(30, RetrievalConfig())
    assert needs_index(31, RetrievalConfig())
    assert not needs_index(1000, RetrievalConfig(mode="exhaustive"))
    assert needs_index(10, RetrievalConfig(mode="sequential"))


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


def propose(backend: WordsOfItsOwn, cache: Path, count: int = 12, changed: int = -1) -> SceneGraph:
    photos = tuple(
        replace(located(f"{i:02d}.jpg", Exif()), sha256="y" if i == changed else "x") for i in range(count)
    )
    graph, _ = propose_pairs(
        Collection(photos, {}),
        None,  # type: ignore[arg-type]
        cache_dir=cache,
        backend=backend,  # type: ignore[arg-type]
        config=RetrievalConfig(exhaustive_max_photos=0),
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
