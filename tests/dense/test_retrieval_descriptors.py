"""Retrieval's descriptors are made of unrounded tokens of the size that the head asks for, and kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from retrieval.codebook import train_codebook
from retrieval.index import RetrievalIndex
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config, Mast3rConfig, RetrievalConfig
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto
from sfm.mast3r.network.retrieval_head import RetrievalHead
from sfm.mast3r.network.retrieval_weights import RetrievalHeadWeights
from sfm.matching.backend import BackendContext
from sfm.matching.dense.backend import Mast3rBackend
from sfm.matching.dense.inference.descriptor_cache import DescriptorCache
from sfm.matching.dense.inference.predictors import Loaded
from sfm.types import Collection, Exif, Photo
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace

DIM = 128
SIZE = 128
SCENES, PHOTOS = 20, 3


@dataclass
class Encoder:
    """An encoder that ends in a layer norm, as MASt3R's, over words that the photos of a scene share."""

    weights: RetrievalHeadWeights
    sizes: list[int] = field(default_factory=list)
    """Longer side of each image that was encoded."""
    key: str = "encoder"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    token_dtype: torch.dtype = torch.bfloat16

    @property
    def retrieval_size(self) -> int:
        return self.weights.image_size

    def encode(self, photos: Sequence[NetworkPhoto]) -> torch.Tensor:
        self.sizes += [max(photo.size) for photo in photos]
        return torch.stack([tokens_of(photo.name, photo.size[0] * photo.size[1] // 256) for photo in photos])

    def retrieval_features(self, photo: EncodedPhoto, count: int | None = None) -> NDArray[np.float32]:
        found, *_ = RetrievalHead(self.weights).local(photo.tokens[None], count)
        return np.asarray(found[0])


def normalised(raw: torch.Tensor) -> torch.Tensor:
    """Tokens on the hyperplane that a layer norm leaves: sum((y - bias) / weight) = 0."""
    chance = torch.Generator().manual_seed(99)
    weight = 1 + 0.3 * torch.randn(DIM, generator=chance)
    return torch.nn.functional.layer_norm(raw, (DIM,), weight, torch.randn(DIM, generator=chance), eps=1e-6)


def tokens_of(name: str, count: int) -> torch.Tensor:
    """Some of the 40 words of the photo's scene, each seen a little differently."""
    scene, number = (int(part) for part in name.removesuffix(".png").split("_"))
    words = torch.randn(40, DIM, generator=torch.Generator().manual_seed(scene))
    chance = torch.Generator().manual_seed(1000 * scene + number)
    chosen = torch.randint(40, (count,), generator=chance)
    return normalised(words[chosen] + 0.9 * torch.randn(count, DIM, generator=chance))


@cache
def official_whitening(nfeat: float = 15, image_size: int = SIZE) -> RetrievalHeadWeights:
    """As the published head was made: covariance over N, eigenvalues of 1e-14 or more, the largest first."""
    x = normalised(1.3 * torch.randn(20_000, DIM, generator=torch.Generator().manual_seed(5))).double()
    mean = x.mean(dim=0, keepdim=True)
    variances, directions = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    assert variances[0] < 1e-12  # across the hyperplane
    matrix = directions.flip(1) / variances.flip(0).clamp(min=1e-14).sqrt()
    return RetrievalHeadWeights((mean, matrix), None, {}, (), False, nfeat, image_size)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return photos_of(tmp_path / "photos", SCENES, SIZE)


def photos_of(folder: Path, num_scenes: int, size: int) -> Collection:
    """Three photos of each scene."""
    folder.mkdir()
    photos = []
    for name in (f"{scene}_{number}.png" for scene in range(num_scenes) for number in range(PHOTOS)):
        Image.new("RGB", (size, 3 * size // 4)).save(folder / name)
        path = folder / name
        photos.append(Photo(name, path, path, f"sha-{name}", size, 3 * size // 4, 1, 1, Exif()))
    return Collection(tuple(sorted(photos, key=lambda photo: photo.name)), {})


def described(
    out: Path, collection: Collection, encoder: Encoder, config: Config | None = None, head: str = "head"
) -> Mapping[str, NDArray[np.float32]]:
    """Retrieval's descriptors as a run gets them."""
    config = config or Config(mast3r=Mast3rConfig(image_size=SIZE))
    with Workspace(out, source=out.parent / "photos") as workspace:
        context = BackendContext(workspace, config, 1, SilentProgress())
        backend = Mast3rBackend(context, Loaded(encoder, None, "", head_key=head))
        database = FeatureDatabase(workspace.database)
        assert not backend.describe(collection, database).failed
        return backend.retrieval_descriptors(collection, database, collection.names)


def recall(descriptors: Mapping[str, NDArray[np.float32]]) -> float:
    """Share of the photos that have another one of their scene among the first five."""
    index = RetrievalIndex.build(train_codebook(descriptors.values(), 60), descriptors)
    found = 0
    for name in descriptors:
        hits = [hit.name for hit in index.query(name, 5)]
        found += any(hit.split("_")[0] == name.split("_")[0] for hit in hits)
    return found / len(descriptors)


def test_the_300_descriptors_of_a_photo_of_512_px_are_those_of_fp32(tmp_path: Path) -> None:
    """As published: 300 of 768 tokens."""
    encoder = Encoder(official_whitening(nfeat=300, image_size=512))
    collection = photos_of(tmp_path / "photos", 1, 512)

    ours = described(tmp_path / "out", collection, encoder, Config(mast3r=Mast3rConfig(image_size=512)))

    head = RetrievalHead(encoder.weights)
    for name in collection.names:
        assert ours[name].shape == (300, DIM)
        np.testing.assert_array_equal(ours[name], head.local(tokens_of(name, 768)[None])[0][0])


def test_the_right_scene_is_found_where_whitening_divides_by_hardly_any_variance(
    collection: Collection, tmp_path: Path
) -> None:
    encoder = Encoder(official_whitening())

    ours = described(tmp_path / "out", collection, encoder)

    exact = {name: tokens_of(name, 48) for name in collection.names}
    head = RetrievalHead(encoder.weights)
    for name, tokens in exact.items():
        np.testing.assert_array_equal(ours[name], head.local(tokens[None])[0][0])
    rounded = {name: head.local(tokens.bfloat16()[None])[0][0].numpy() for name, tokens in exact.items()}
    assert recall(ours) > 0.8
    assert recall(rounded) < 0.5


def test_a_learned_whitening_takes_rounded_tokens(collection: Collection, tmp_path: Path) -> None:
    encoder = Encoder(official_whitening())
    learned = described(tmp_path / "rounded", collection, encoder, head="")
    encoder.token_dtype = torch.float32
    exact = described(tmp_path / "exact", collection, encoder, head="")

    assert recall(learned) > 0.9 * recall(exact) > 0.7


def test_descriptors_are_kept(collection: Collection, tmp_path: Path) -> None:
    encoder = Encoder(official_whitening())
    first = described(tmp_path / "out", collection, encoder)
    assert len(encoder.sizes) == len(collection.photos)
    encoder.sizes.clear()

    again = described(tmp_path / "out", collection, encoder)

    assert not encoder.sizes
    for name in collection.names:
        np.testing.assert_array_equal(again[name], first[name])
    DescriptorCache(tmp_path / "full").put("sha", np.ones((300, 1024), np.float32))
    (file,) = (tmp_path / "full").rglob("*.safetensors")
    assert file.stat().st_size <= 1_300_000


@pytest.mark.parametrize("damage", ["missing", "truncated", "of another form"])
def test_photos_whose_descriptors_are_not_there_are_encoded_again(
    damage: str, collection: Collection, tmp_path: Path
) -> None:
    """As after a run that kept rounded tokens only."""
    encoder = Encoder(official_whitening())
    first = described(tmp_path / "out", collection, encoder)
    encoder.sizes.clear()
    path = next((tmp_path / "out" / "cache" / "descriptors").rglob("sha-3_1.png.safetensors"))
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-5])
    else:
        DescriptorCache(path.parent.parent).put("sha-3_1.png", np.ones(3, np.float32))

    again = described(tmp_path / "out", collection, encoder)

    assert len(encoder.sizes) == 1
    np.testing.assert_array_equal(again["3_1.png"], first["3_1.png"])


def test_another_head_describes_anew(collection: Collection, tmp_path: Path) -> None:
    encoder = Encoder(official_whitening())
    described(tmp_path / "out", collection, encoder)
    encoder.weights = replace(encoder.weights, prewhiten=None)

    again = described(tmp_path / "out", collection, encoder, head="another")

    tokens = tokens_of("0_0.png", 48)
    np.testing.assert_array_equal(again["0_0.png"], RetrievalHead(encoder.weights).local(tokens[None])[0][0])


@pytest.mark.parametrize(("nfeat", "configured", "kept"), [(5, 1000, 5), (-0.5, 1000, 24), (15, 7, 7)])
def test_as_many_as_the_head_was_made_for(
    nfeat: float, configured: int, kept: int, collection: Collection, tmp_path: Path
) -> None:
    encoder = Encoder(official_whitening(nfeat))
    config = Config(
        mast3r=Mast3rConfig(image_size=SIZE), retrieval=RetrievalConfig(num_descriptors=configured)
    )

    found = described(tmp_path / "out", collection, encoder, config)

    assert {len(descriptors) for descriptors in found.values()} == {kept}


def test_images_of_the_size_that_the_head_was_made_for(collection: Collection, tmp_path: Path) -> None:
    encoder = Encoder(official_whitening(image_size=64))

    found = described(tmp_path / "out", collection, encoder)

    assert sorted(encoder.sizes) == [64] * len(collection.photos) + [SIZE] * len(collection.photos)
    head = RetrievalHead(encoder.weights)
    for name in collection.names:
        np.testing.assert_array_equal(found[name], head.local(tokens_of(name, 12)[None])[0][0])
    encoder.sizes.clear()
    described(tmp_path / "out", collection, encoder)
    assert not encoder.sizes


def test_a_photo_that_can_no_longer_be_read_in_that_size_is_left_out(
    collection: Collection, tmp_path: Path
) -> None:
    encoder = Encoder(official_whitening())
    described(tmp_path / "out", collection, encoder)
    encoder.weights = replace(encoder.weights, image_size=64)
    collection.photos[7].path.unlink()
    config = Config(mast3r=Mast3rConfig(image_size=SIZE))
    with Workspace(tmp_path / "out", source=tmp_path / "photos") as workspace:
        context = BackendContext(workspace, config, 1, SilentProgress())
        backend = Mast3rBackend(context, Loaded(encoder, None, "", head_key="head"))

        report = backend.describe(collection, FeatureDatabase(workspace.database))

    assert list(report.failed) == [collection.photos[7].name]
