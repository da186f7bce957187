"""Kernels compiled by numba: Sampson errors, tracks, missing matches."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.dispatch import has_numba, use_backend
from kernels.missing_matches import missing_matches
from kernels.sampson import sampson_distances, sampson_medians
from kernels.tracks import Tracks, new_tracks
from kernels.values import Case, Limits

VERSIONS = ("torch", pytest.param("triton", marks=pytest.mark.skipif(not has_numba(), reason="needs numba")))
"""The plain version and the compiled one."""
SIDEWAYS = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Of a camera that moved along x without turning: epipolar lines are rows."""


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_sideways_motion_both_points_take_half_of_the_offset(version) -> None:
    # half of it in each photo, together its length over the square root of two
    offsets = [0.01, -0.03, 0.02, 0.5]
    first = np.array([(0.1 * i, 0.2, 1.0) for i in range(4)])
    second = first + np.array([(0.3, offset, 0.0) for offset in offsets])
    matches = np.column_stack((np.arange(4), np.arange(4, 8)))

    with use_backend(version):
        medians = sampson_medians(
            np.concatenate((first, second)), matches, np.array([3, 4]), np.array([SIDEWAYS, SIDEWAYS])
        )

    assert medians == pytest.approx([0.02 / np.sqrt(2), 0.5 / np.sqrt(2)])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_point_without_a_ray_is_infinitely_far_and_does_not_decide_for_its_pair(version) -> None:
    first = np.array([(0.0, 0.2, 1.0), (0.1, 0.2, 1.0), (np.nan, np.nan, 1.0)])
    second = first + np.array((0.3, 0.02, 0.0))
    matches = np.column_stack((np.arange(3), np.arange(3, 6)))

    with use_backend(version):
        medians = sampson_medians(
            np.concatenate((first, second)), matches, np.array([3]), np.array([SIDEWAYS])
        )

    assert medians == pytest.approx([0.02 / np.sqrt(2)])


def test_points_on_their_lines_have_none_and_at_both_epipoles_any_point_agrees() -> None:
    points = np.array([(0.3, -0.2, 1.0)])
    forward = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])

    assert sampson_distances(points, points * (2, 2, 1), forward) == pytest.approx([0])
    assert sampson_distances(np.array([(0.0, 0, 1)]), np.array([(0.0, 0, 1)]), forward) == pytest.approx([0])


@pytest.mark.skipif(not has_numba(), reason="needs numba")
@given(st.integers(0, 10**6), st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_compiled_it_is_the_same(seed: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    rays = np.column_stack((rng.normal(size=(40, 2)), np.ones(40)))
    matches = rng.integers(0, 40, size=(sum(counts), 2))
    essentials = rng.normal(size=(len(counts), 3, 3))
    found = []
    for version in ("torch", "triton"):
        with use_backend(version):
            found.append(sampson_medians(rays, matches, np.cumsum(counts), essentials))

    np.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-12)


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


@pytest.mark.parametrize("version", VERSIONS)
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


@pytest.mark.parametrize("version", VERSIONS)
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


"""The plain version and the compiled one."""
LIMITS = Limits(num_neighbours=4, clear=0.02, reach=0.2, margin=0.02, elsewhere=0.03, num_elsewhere=2)
SIZE = (600, 800)
DIAGONAL = 1000.0
GRID = np.array([(x, y) for x in (200.0, 260.0) for y in (300.0, 360.0)])


def case(points: list[tuple[float, float]], seen: list[tuple[float, float]]) -> Case:
    """Photos of which the second is the first moved by (50, -20) px."""
    return Case(
        points=np.array(points, dtype=np.float64).reshape(-1, 2),
        matched=GRID,
        partners=GRID + np.array([50.0, -20.0]),
        seen=np.array(seen, dtype=np.float64).reshape(-1, 2),
        size=SIZE,
        diagonal=DIAGONAL,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_seen_in_its_place_makes_a_missing_match(version) -> None:
    beside = case([(230, 330)], [(281, 310), (280, 312), (280, 309)])

    with use_backend(version):
        assert missing_matches(beside, LIMITS) == 1
        assert missing_matches(replace(beside, seen=beside.seen[:2]), LIMITS) == 1
        assert missing_matches(replace(beside, seen=beside.seen[:1]), LIMITS) == 0
        assert missing_matches(replace(beside, seen=beside.seen[:0]), LIMITS) == 0
        assert missing_matches(replace(beside, seen=beside.seen + 40), LIMITS) == 0
        assert missing_matches(replace(beside, points=beside.points[:0]), LIMITS) == 0


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("point", [(205, 305), (500, 330)])
def test_nothing_is_asked_at_a_match_nor_far_from_all(version, point) -> None:
    x, y = point
    seen = [(x + 50.0, y - 20.0 + d) for d in (0, 1, 2)]

    with use_backend(version):
        assert missing_matches(case([point], seen), LIMITS) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_a_place_at_the_edge_may_be_outside(version) -> None:
    inside = case([(230, 330)], [(281, 310), (280, 312)])

    with use_backend(version):
        assert missing_matches(replace(inside, size=(320, 947)), LIMITS) == 1
        assert missing_matches(replace(inside, size=(290, 957)), LIMITS) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_the_place_follows_scale_and_turn_of_the_matches(version) -> None:
    turned = np.array([[0.0, -2.0], [2.0, 0.0]])
    straight = case([(230, 330)], [])
    there = np.array([(230.0, 330.0)]) @ turned.T + (800, 100)
    moved = replace(straight, partners=GRID @ turned.T + (800, 100), seen=np.repeat(there, 2, axis=0))

    with use_backend(version):
        assert missing_matches(moved, LIMITS) == 1
        assert missing_matches(replace(moved, seen=moved.seen + 60), LIMITS) == 0


@pytest.mark.skipif(not has_numba(), reason="needs numba")
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(1, 30), st.integers(0, 60))
def test_the_compiled_version_counts_as_the_plain_one(seed, num_points, num_matches, num_seen) -> None:
    rng = np.random.default_rng(seed)
    matched = rng.uniform(0, SIZE, (num_matches, 2))
    some = Case(
        points=rng.uniform(0, SIZE, (num_points, 2)),
        matched=matched,
        partners=matched + rng.normal(0, 15, matched.shape),
        seen=rng.uniform(0, SIZE, (num_seen, 2)),
        size=SIZE,
        diagonal=DIAGONAL,
    )

    counts = []
    for version in ("torch", "triton"):
        with use_backend(version):
            counts.append(missing_matches(some, LIMITS))

    assert counts[0] == counts[1]
