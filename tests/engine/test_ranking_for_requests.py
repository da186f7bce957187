"""The ranking that later requests of the closed loop get from the first stage."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieval import RetrievalConfig
from retrieval.codebook import Codebook, train_codebook
from retrieval.index import RetrievalIndex
from retrieval.query_expansion import ExpandedRanking
from sfm.loop import Rank
from sfm.pairs.first_pairs import propose_pairs
from sfm.types import CameraSpec, Collection, Exif, Photo
from sfm.workspace.events import NullEvents

NAMES = [f"{i:02d}.jpg" for i in range(40)]


def described(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Photo i sees landmarks [20 i, 20 i + 40)."""
    chance = np.random.default_rng(1)
    landmarks = chance.standard_normal((20 * len(NAMES) + 40, 16))
    return {
        name: (landmarks[20 * i : 20 * i + 40] + 0.3 * chance.standard_normal((40, 16))).astype(np.float32)
        for i, name in enumerate(names)
    }


class LandmarkBackend:
    """Descriptors without photos."""

    def retrieval_key(self, collection: Collection) -> str:
        return "landmarks"

    def retrieval_descriptors(
        self, collection: Collection, database: object, names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        return described(names)

    def codebook(self) -> Codebook:
        return train_codebook(described(NAMES).values(), 64)


def ranking(cache: Path, **options: object) -> Rank:
    photos = tuple(Photo(n, Path(n), Path(n), "x", 640, 480, 1, 1, Exif()) for n in NAMES)
    camera = CameraSpec(1, "SIMPLE_RADIAL", 640, 480, (700.0, 320.0, 240.0, 0.0), False)
    _, rank = propose_pairs(
        Collection(photos, {1: camera}),
        None,  # type: ignore[arg-type]
        cache_dir=cache,
        backend=LandmarkBackend(),  # type: ignore[arg-type]
        config=RetrievalConfig(**options),  # type: ignore[arg-type]
        seed=0,
        events=NullEvents(),
    )
    return rank


@pytest.mark.parametrize("expansion", [True, False])
def test_requests_are_ranked_by_query_expansion_where_it_is_on(tmp_path: Path, expansion: bool) -> None:
    index = RetrievalIndex.build(LandmarkBackend().codebook(), described(NAMES))
    expected = ExpandedRanking(index).query if expansion else index.query

    rank = ranking(tmp_path, query_expansion=expansion)

    for name in NAMES[::7]:
        assert rank(name, 12) == [(hit.name, hit.score) for hit in expected(name, 12)]
    assert ExpandedRanking(index).query(NAMES[20], 12) != index.query(NAMES[20], 12)


def test_without_an_index_nothing_is_ranked(tmp_path: Path) -> None:
    assert ranking(tmp_path, mode="exhaustive")(NAMES[0], 5) == []
