"""Keypoints of a model that somebody else described are found again where they lie."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sfm.reference.colmap_features import _joined


def described(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    keypoints = np.zeros((count, 6), np.float32)
    keypoints[:, :2] = rng.permutation(400)[:count, None] * [10.0, 3.0] + rng.uniform(0, 1, (count, 2))
    keypoints[:, 2:] = rng.uniform(1, 2, (count, 4))
    return keypoints, rng.integers(1, 255, (count, 128)).astype(np.uint8)


@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), kept=st.integers(0, 60))
def test_the_model_keeps_its_keypoints_and_each_descriptor_is_used_once(
    seed: int, count: int, kept: int
) -> None:
    rng = np.random.default_rng(seed)
    keypoints, descriptors = described(rng, count)
    chosen = rng.permutation(count)[: min(kept, count)]
    strays = rng.uniform(5000, 6000, (3, 2))
    xy = np.concatenate((keypoints[chosen, :2] + rng.uniform(-0.3, 0.3, (len(chosen), 2)), strays))
    xy = xy.astype(np.float32)

    rows, values = _joined(xy, keypoints, descriptors)

    assert np.array_equal(rows[: len(xy), :2], xy)
    assert np.array_equal(values[: len(chosen)], descriptors[chosen])
    assert not values[len(chosen) : len(xy)].any()
    left = sorted(set(range(count)) - set(chosen.tolist()))
    assert np.array_equal(rows[len(xy) :], keypoints[left])
    assert np.array_equal(values[len(xy) :], descriptors[left])


def test_several_orientations_in_one_place_stay_apart() -> None:
    keypoints, descriptors = described(np.random.default_rng(0), 6)
    keypoints[1, :2] = keypoints[0, :2]
    xy = keypoints[[1, 0, 4], :2].copy()

    _, values = _joined(xy, keypoints, descriptors)

    assert {values[0].tobytes(), values[1].tobytes()} == {descriptors[0].tobytes(), descriptors[1].tobytes()}
    assert np.array_equal(values[2], descriptors[4])


def test_a_model_without_keypoints_leaves_what_was_found() -> None:
    keypoints, descriptors = described(np.random.default_rng(0), 5)

    rows, values = _joined(np.zeros((0, 2), np.float32), keypoints, descriptors)

    assert np.array_equal(rows, keypoints)
    assert np.array_equal(values, descriptors)
