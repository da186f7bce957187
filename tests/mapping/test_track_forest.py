"""Tracks grow by trusted matches and never hold two keypoints of one photo."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair
from sfm.mapping.pair_consistency.track_forest import TrackForest

PHOTOS = ("a", "b", "c", "d")
NUM_KEYPOINTS = 6


def matches(*ends: tuple[int, int]) -> np.ndarray:
    return np.array(ends, dtype=np.int64).reshape(-1, 2)


def forest() -> TrackForest:
    return TrackForest(dict.fromkeys(PHOTOS, NUM_KEYPOINTS))


def test_matches_along_a_chain_lie_within_one_track() -> None:
    tracks = forest()
    tracks.join(Pair("a", "b"), matches((0, 1), (2, 3)))
    tracks.join(Pair("b", "c"), matches((1, 4), (3, 5)))

    assert tracks.counts(Pair("a", "c"), matches((0, 4), (2, 5))) == (2, 2)
    assert tracks.counts(Pair("a", "c"), matches((0, 5), (2, 4))) == (0, 2)


def test_new_keypoints_count_for_nothing() -> None:
    tracks = forest()
    tracks.join(Pair("a", "b"), matches((0, 0)))

    assert tracks.counts(Pair("a", "c"), matches((0, 0), (5, 5))) == (0, 0)


def test_tracks_that_meet_in_one_photo_are_not_merged() -> None:
    tracks = forest()
    tracks.join(Pair("a", "b"), matches((0, 0), (1, 1)))
    tracks.join(Pair("a", "c"), matches((0, 0), (1, 1)))

    tracks.join(Pair("b", "c"), matches((0, 1)))

    assert tracks.counts(Pair("b", "c"), matches((0, 0), (1, 1), (0, 1))) == (2, 3)


keypoint = st.integers(0, NUM_KEYPOINTS - 1)
pairs = st.tuples(st.sampled_from(PHOTOS), st.sampled_from(PHOTOS)).filter(lambda ends: ends[0] < ends[1])


@given(st.lists(st.tuples(pairs, keypoint, keypoint), max_size=40))
def test_whatever_is_joined_no_two_keypoints_of_a_photo_are_one_track(joined) -> None:
    tracks = forest()
    for (a, b), i, j in joined:
        tracks.join(Pair(a, b), matches((i, j)))

    for a in PHOTOS:
        for b in PHOTOS:
            if a < b:
                within = [
                    (i, j)
                    for i in range(NUM_KEYPOINTS)
                    for j in range(NUM_KEYPOINTS)
                    if tracks.counts(Pair(a, b), matches((i, j)))[0]
                ]
                assert len({i for i, _ in within}) == len(within)
                assert len({j for _, j in within}) == len(within)
