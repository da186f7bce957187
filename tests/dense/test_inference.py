"""The cascade of pair inference with a made-up network: photos are windows of one long random strip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retrieval import Pair
from sfm.config.schema import Mast3rConfig
from sfm.ingest.decode import load_rgb
from sfm.mast3r.network.image_input import pixel_map
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto
from sfm.matching.dense.inference.inference import PairInference
from sfm.matching.dense.inference.matching import infer_pairs, pair_key, refusals
from sfm.matching.dense.inference.pair_store import PairResult, PairStore
from sfm.matching.dense.inference.photo_map import PhotoMap
from sfm.matching.dense.inference.photos import EncodedPhotos
from sfm.matching.dense.inference.token_cache import TokenCache
from sfm.types import Exif, Photo
from sfm.workspace.progress import SilentProgress

HEIGHT, WIDTH = 32, 64
STEP = 16
"""Columns by which each photo lies farther along the strip than the one before."""
NAMES = tuple(f"{i}.png" for i in range(5))
CONFIG = Mast3rConfig(image_size=64, subsample_px=4, min_first_matches=30, depth_pairs_per_photo=1)


@dataclass
class Strip:
    """A network that sees which part of the strip a photo shows."""

    limit: int = 100
    """Pairs that fit into memory together."""
    broken: frozenset[str] = frozenset()
    """Photos for which the output is NaN."""
    unencodable: Mapping[str, Exception] = field(default_factory=dict)
    """Photos for which encoding raises."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    points_of: list[str] = field(default_factory=list)
    key: str = "strip"
    has_descriptors: bool = True
    is_metric: bool = True
    token_dim: int = 4
    token_dtype: torch.dtype = torch.bfloat16
    retrieval_size: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        chance = torch.Generator().manual_seed(3)
        self.world = torch.nn.functional.normalize(torch.randn(HEIGHT, 600, 24, generator=chance), dim=-1)

    def encode(self, photos: Sequence[NetworkPhoto]) -> torch.Tensor:
        for photo in photos:
            if photo.name in self.unencodable:
                raise self.unencodable[photo.name]
        return torch.zeros(len(photos), HEIGHT * WIDTH // 256, 4)

    def decode(self, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]) -> StripPairs:
        if len(first) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        names = [(a.name, b.name) for a, b in zip(first, second, strict=True)]
        self.calls += names
        return StripPairs(self, names)

    def retrieval_features(self, photo: EncodedPhoto, count: int | None = None) -> np.ndarray:
        raise NotImplementedError


@dataclass
class StripPairs:
    strip: Strip
    names: list[tuple[str, str]]
    has_descriptors: bool = True

    def descriptors(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        maps, confidences = [], []
        for names in self.names if rows is None else [self.names[row] for row in rows]:
            start, other = (STEP * NAMES.index(names[v]) for v in (view - 1, 2 - view))
            columns = start + torch.arange(WIDTH)
            shared = (columns >= other) & (columns < other + WIDTH)
            confidences.append(torch.where(shared, 2.0, 0.5).expand(HEIGHT, -1))
            part = self.strip.world[:, start : start + WIDTH].clone()
            if self.strip.broken & set(names):
                part[5, 5] = torch.nan
            maps.append(part)
        return torch.stack(maps), torch.stack(confidences)

    def points(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = self.names if rows is None else [self.names[row] for row in rows]
        self.strip.points_of += [names[view - 1] for names in chosen]
        y, x = torch.meshgrid(
            torch.arange(HEIGHT) - HEIGHT / 2, torch.arange(WIDTH) - WIDTH / 2, indexing="ij"
        )
        xyz = torch.stack((x / 40 * 5, y / 40 * 5, torch.full_like(x, 5.0)), dim=-1)
        return xyz.expand(len(chosen), -1, -1, -1), torch.full((len(chosen), HEIGHT, WIDTH), 3.0)


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Photo]:
    found = {}
    for name in NAMES:
        Image.new("RGB", (WIDTH * 2, HEIGHT * 2), "grey").save(tmp_path / name)
        found[name] = Photo(
            name, tmp_path / name, tmp_path / name, f"sha-{name}", WIDTH * 2, HEIGHT * 2, 1, 1, Exif()
        )
    return found


def infer(
    photos: dict[str, Photo],
    folder: Path,
    pairs: Sequence[Pair],
    network: Strip,
    config: Mast3rConfig = CONFIG,
    cached: int = 10**6,
) -> dict[Pair, PairResult]:
    """Results with their depth; tokens of photos are kept on disk up to `cached` bytes."""
    size = (WIDTH * 2, HEIGHT * 2)
    maps = {name: PhotoMap(pixel_map(size, name, size=64), size) for name in photos}
    encoded = EncodedPhotos(photos, maps, network, TokenCache(folder / "tokens", cached), 64, 1)
    inference = PairInference(network, encoded, config)
    store = PairStore(folder / "pairs")
    results = infer_pairs(pairs, inference, store, photos, SilentProgress())
    assert all(result.depth_a is result.depth_b is None for result in results.values())
    return {
        pair: result if result.failed else store.get(pair_key(pair, photos))
        for pair, result in results.items()
    }


NEAR, FAR = Pair(NAMES[0], NAMES[1]), Pair(NAMES[0], NAMES[4])
ALL = tuple(Pair(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :])


def test_matches_are_where_the_photos_overlap(photos: dict[str, Photo], tmp_path: Path) -> None:
    result = infer(photos, tmp_path, [NEAR], Strip())[NEAR]
    shift = result.matches.xy_a - result.matches.xy_b
    assert result.why == ""
    assert len(shift) > 100
    assert np.mean(np.abs(shift - [2 * STEP, 0]).max(axis=1) < 1e-3) > 0.95


def test_a_hopeless_pair_costs_one_direction(photos: dict[str, Photo], tmp_path: Path) -> None:
    network = Strip()
    result = infer(photos, tmp_path, [FAR], network)[FAR]
    assert network.calls == [(FAR.a, FAR.b)]
    assert len(result.matches.confidence) == 0
    assert "one way" in result.why
    assert network.points_of == []


def test_without_the_cascade_both_directions_are_inferred(photos: dict[str, Photo], tmp_path: Path) -> None:
    network = Strip()
    infer(photos, tmp_path, [FAR], network, replace(CONFIG, one_direction_first=False))
    assert network.calls == [(FAR.a, FAR.b), (FAR.b, FAR.a)]


def test_depth_is_bought_once_for_each_photo_however_pairs_are_batched(
    photos: dict[str, Photo], tmp_path: Path
) -> None:
    bought = []
    for batch in (1, 3, 10):
        network = Strip()
        config = replace(CONFIG, batch_size=batch)
        results = infer(photos, tmp_path / str(batch), ALL, network, config)
        bought.append([p for p in ALL if results[p].depth_a or results[p].depth_b])
        assert sorted(network.points_of) == sorted(set(network.points_of)) == list(NAMES)
    assert bought[0] == bought[1] == bought[2]


@pytest.mark.parametrize(("depth", "count"), [("never", 0), ("all", 18)])
def test_depth_never_or_for_all_kept_pairs(
    depth: str, count: int, photos: dict[str, Photo], tmp_path: Path
) -> None:
    network = Strip()
    infer(photos, tmp_path, ALL, network, replace(CONFIG, depth=depth))  # type: ignore[arg-type]
    assert len(network.points_of) == count


def test_depth_and_focal_length_come_from_the_photo_s_own_points(
    photos: dict[str, Photo], tmp_path: Path
) -> None:
    depth = infer(photos, tmp_path, [NEAR], Strip())[NEAR].depth_a
    assert depth is not None
    assert np.allclose(depth.depth, 5.0)
    assert depth.focal_px == pytest.approx(40, rel=1e-3)


def test_batches_that_are_too_large_give_the_same_results(photos: dict[str, Photo], tmp_path: Path) -> None:
    whole = infer(photos, tmp_path / "a", ALL, Strip(), replace(CONFIG, batch_size=10))
    halved = infer(photos, tmp_path / "b", ALL, Strip(limit=2), replace(CONFIG, batch_size=10))
    for pair in ALL:
        assert np.array_equal(whole[pair].matches.xy_a, halved[pair].matches.xy_a)
        assert (whole[pair].depth_a is None) == (halved[pair].depth_a is None)


def test_a_pair_too_large_for_memory_is_given_up_not_the_run(
    photos: dict[str, Photo], tmp_path: Path
) -> None:
    results = infer(photos, tmp_path, [NEAR], Strip(limit=0))
    assert "out of memory" in results[NEAR].why
    assert results[NEAR].failed


def test_nan_is_a_failed_pair_with_a_reason(photos: dict[str, Photo], tmp_path: Path) -> None:
    results = infer(photos, tmp_path, ALL, Strip(broken=frozenset([NAMES[2]])))
    assert "not finite" in results[Pair(NAMES[1], NAMES[2])].why
    assert results[NEAR].why == ""


def test_a_photo_that_vanished_fails_its_own_pairs(photos: dict[str, Photo], tmp_path: Path) -> None:
    photos[NAMES[1]].path.unlink()
    results = infer(photos, tmp_path / "out", ALL, Strip())
    assert "can no longer be read" in results[NEAR].why
    assert results[Pair(NAMES[2], NAMES[3])].why == ""


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "python", "cublas"],
)
@pytest.mark.parametrize("in_memory", [1, 10**9])
def test_memory_that_runs_out_when_a_photo_is_encoded_again_fails_its_own_pairs(
    error: Exception,
    in_memory: int,
    photos: dict[str, Photo],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sfm.matching.dense.inference.photos._MAX_TOKEN_BYTES", in_memory)
    lost = NAMES[1]
    config = replace(CONFIG, batch_size=4)
    results = infer(photos, tmp_path, ALL, Strip(unencodable={lost: error}), config, cached=0)
    for pair in ALL:
        assert results[pair].failed == (lost in pair)
        assert ("out of memory" in results[pair].why) == (lost in pair)


def test_errors_of_encoding_that_are_not_about_memory_are_not_swallowed(
    photos: dict[str, Photo], tmp_path: Path
) -> None:
    network = Strip(unencodable={NAMES[1]: RuntimeError("shape mismatch")})
    with pytest.raises(RuntimeError, match="shape"):
        infer(photos, tmp_path, [NEAR], network, cached=0)


@pytest.mark.parametrize("trouble", ["memory", "nan", "vanished"])
def test_what_failed_is_tried_again_and_what_did_not_match_is_not(
    trouble: str, photos: dict[str, Photo], tmp_path: Path
) -> None:
    path = photos[NAMES[1]].path
    content = path.read_bytes()
    if trouble == "vanished":
        path.unlink()
    sick = Strip(limit=0 if trouble == "memory" else 100, broken=frozenset([NAMES[1]] * (trouble == "nan")))
    first = infer(photos, tmp_path, [NEAR], sick)
    assert first[NEAR].failed
    assert not infer(photos, tmp_path, [FAR], Strip())[FAR].failed

    path.write_bytes(content)
    healthy = Strip()
    second = infer(photos, tmp_path, [NEAR, FAR], healthy)
    assert set(healthy.calls) == {(NEAR.a, NEAR.b), (NEAR.b, NEAR.a)}
    assert not second[NEAR].failed
    assert second[NEAR].why == ""
    assert len(second[NEAR].matches.confidence)


def test_why_a_pair_was_refused_is_known_to_later_runs(photos: dict[str, Photo], tmp_path: Path) -> None:
    infer(photos, tmp_path, [NEAR, FAR], Strip())
    for store in (PairStore(tmp_path / "pairs"), PairStore(tmp_path / "other")):
        found = refusals([NEAR, FAR, Pair("x", "y")], store, photos)
        assert list(found) == ([FAR] if len(store) else [])


def test_a_photo_that_memory_does_not_suffice_to_read_is_left_out(
    photos: dict[str, Photo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: Path) -> np.ndarray:
        if path.name == NAMES[1]:
            raise MemoryError
        return load_rgb(path)

    monkeypatch.setattr("sfm.matching.dense.inference.photos.load_rgb", load)
    size = (WIDTH * 2, HEIGHT * 2)
    maps = {name: PhotoMap(pixel_map(size, name, size=64), size) for name in photos}
    encoded = EncodedPhotos(photos, maps, Strip(), TokenCache(tmp_path / "tokens", 10**6), 64, 2)
    count, failed = encoded.encode_missing(SilentProgress())
    assert count == len(NAMES) - 1
    assert list(failed) == [NAMES[1]]
    assert "out of memory" in failed[NAMES[1]]


def test_nothing_is_inferred_twice(photos: dict[str, Photo], tmp_path: Path) -> None:
    infer(photos, tmp_path, ALL[:4], Strip())
    network = Strip()
    infer(photos, tmp_path, ALL, network)
    assert not {tuple(pair) for pair in ALL[:4]} & set(network.calls)
