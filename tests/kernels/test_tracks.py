"""Tracks keep their promise whatever is joined, and the compiled version is the plain one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.dispatch import has_numba, use_backend
from kernels.tracks import Tracks, new_tracks

LABELLERS = ("torch", pytest.param("triton", marks=pytest.mark.skipif(not has_numba(), reason="needs numba")))
"""The plain version and the compiled one."""


def tracks_of(image: np.ndarray, version: str) -> Tracks:
    with use_backend(version):
        return new_tracks(image)


@st.composite
def joins(draw: st.DrawFn) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """The image of each keypoint, and batches of matches between keypoints of different images."""
    image = np.array(draw(st.lists(st.integers(0, 4), min_size=2, max_size=24)), dtype=np.int64)
    keypoint = st.integers(0, len(image) - 1)
    match = st.tuples(keypoint, keypoint).filter(lambda ends: image[ends[0]] != image[ends[1]])
    ends = draw(st.lists(st.lists(match, max_size=12), max_size=6)) if len(set(image)) > 1 else []
    batches = [np.array(batch, dtype=np.int64).reshape(-1, 2) for batch in ends]
    return image, [(batch[:, 0], batch[:, 1]) for batch in batches]


@pytest.mark.parametrize("version", LABELLERS)
@given(joins())
def test_no_track_holds_two_keypoints_of_an_image(version, case) -> None:
    image, batches = case
    tracks = tracks_of(image, version)
    for first, second in batches:
        tracks.join(first, second)

    for label in np.unique(tracks.label):
        inside = image[tracks.label == label]
        assert len(set(inside.tolist())) == len(inside)
    alone = np.bincount(tracks.label, minlength=len(image))[tracks.label] == 1
    np.testing.assert_array_equal(tracks.joined, ~alone)


@pytest.mark.parametrize("version", LABELLERS)
@given(joins())
def test_a_match_joins_its_tracks_unless_they_share_an_image(version, case) -> None:
    """One match at a time, against sets."""
    image, batches = case
    tracks, found = tracks_of(image, version), {i: frozenset([i]) for i in range(len(image))}
    for first, second in batches:
        tracks.join(first, second)
        for i, j in zip(first.tolist(), second.tolist(), strict=True):
            both = found[i] | found[j]
            if len({int(image[k]) for k in both}) == len(both):
                found.update(dict.fromkeys(both, both))

    assert {frozenset(np.flatnonzero(tracks.label == label).tolist()) for label in tracks.label} == set(
        found.values()
    )


@pytest.mark.skipif(not has_numba(), reason="needs numba")
@given(joins())
def test_both_versions_give_the_same_labels(case) -> None:
    image, batches = case
    plain, fast = tracks_of(image, "torch"), tracks_of(image, "triton")
    for first, second in batches:
        plain.join(first, second)
        fast.join(first, second)

        np.testing.assert_array_equal(fast.label, plain.label)
        np.testing.assert_array_equal(fast.joined, plain.joined)


@pytest.mark.parametrize("version", LABELLERS)
def test_no_keypoints_are_no_tracks(version) -> None:
    tracks = tracks_of(np.zeros(0, dtype=np.int64), version)
    tracks.join(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    assert len(tracks.label) == 0
