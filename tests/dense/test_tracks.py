"""The growing table of tracks, the splitting of contradictory ones, and the refinement of positions."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfm.matching.dense.tracks.track_positions import Anchors, TrackRefinement
from sfm.matching.dense.tracks.track_positions import refine_tracks as refine_with
from sfm.matching.dense.tracks.track_splitting import components, consistent_parts
from sfm.matching.dense.tracks.track_table import TrackTable
from sfm.matching.dense.tracks.transfer import Edges

Rows = NDArray[np.int64]


def points(count: int, value: float = 1.0) -> NDArray[np.float32]:
    return np.full((count, 2), value, np.float32)


@given(data=st.data(), seed=st.integers(0, 10_000))
def test_no_sequence_of_growth_gives_a_track_two_keypoints_of_one_photo(
    data: st.DataObject, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    table, truth = TrackTable(5), []
    for photo in range(5):
        for row in table.add_tracks(photo, points(6)):
            truth.append({int(row)})
    for _ in range(data.draw(st.integers(1, 8))):
        a, b = rng.choice(5, 2, replace=False)
        first, second = table.of_photo(a), rng.permutation(table.of_photo(b))
        count = min(len(first), len(second))
        first, second = first[:count], second[:count]
        tracks = table.track
        lone = ~np.isin(tracks[first], tracks[table.of_photo(b)])
        lone &= ~np.isin(tracks[second], tracks[table.of_photo(a)])
        first, second = first[lone], second[lone]

        joined = table.join(first, second)

        for i, j, done in zip(first.tolist(), second.tolist(), joined, strict=True):
            one, other = (next(t for t in truth if row in t) for row in (i, j))
            clash = {int(table.photo[r]) for r in one} & {int(table.photo[r]) for r in other}
            assert done == (not clash)
            if done:
                truth.remove(other)
                one |= other
    for members in truth:
        assert len({int(table.track[row]) for row in members}) == 1
    assert len(np.unique(table.track)) == len(truth)
    keys = table.track * 5 + table.photo
    assert len(np.unique(keys)) == len(table)


def test_observations_join_the_tracks_of_the_given_rows() -> None:
    table = TrackTable(3)
    seeds = table.add_tracks(0, points(4))

    seen = table.add_observations(2, points(2, 5.0), seeds[[3, 1]])

    assert np.array_equal(table.track[seen], seeds[[3, 1]])
    assert np.array_equal(table.of_photo(2), seen)
    assert np.array_equal(table.xy[seen], points(2, 5.0))


def test_given_tracks_are_kept_and_known_as_frozen() -> None:
    table = TrackTable(3)
    a, b, c = (table.add_tracks(photo, points(2), frozen=True) for photo in range(3))

    table.set_tracks(np.concatenate((a, b)), np.array([7, 9, 9, 7]))
    loose = table.add_tracks(2, points(1))

    assert table.track[a[0]] == table.track[b[1]] != table.track[a[1]] == table.track[b[0]]
    assert not table.join(a[:1], b[:1])[0]
    assert table.join(a[:1], c[:1])[0]
    assert table.track[b[1]] == table.track[c[0]]
    assert table.any_frozen(np.array([b[1], loose[0]])).tolist() == [True, False]


def test_the_table_outgrows_its_first_size() -> None:
    table = TrackTable(2)
    first = table.add_tracks(0, np.arange(6000, dtype=np.float32).reshape(-1, 2))

    second = table.add_observations(1, points(3000), first)

    assert np.array_equal(table.xy[first].ravel(), np.arange(6000, dtype=np.float32))
    assert np.array_equal(table.track[second], first)


def clusters(sizes: list[int]) -> tuple[Rows, Rows, NDArray[np.bool_]]:
    """All links between keypoints of several points, and which of them are between the same point's."""
    member = np.repeat(np.arange(len(sizes)), sizes)
    source, target = np.triu_indices(len(member), 1)
    return source, target, member[source] == member[target]


def test_parts_joined_by_one_wrong_link_are_taken_apart() -> None:
    source, target, same = clusters([5, 4])
    evidence = np.where(same, 1.0, -1.0)
    evidence[4] = 1.0  # the first keypoint to the first of the other part

    part = consistent_parts(9, source, target, evidence)

    assert len(set(part[:5])) == 1
    assert len(set(part[5:])) == 1
    assert part[0] != part[5]


@given(sizes=st.lists(st.integers(2, 7), min_size=1, max_size=5))
def test_evidence_without_errors_gives_the_true_parts(sizes: list[int]) -> None:
    source, target, same = clusters(sizes)

    part = consistent_parts(sum(sizes), source, target, np.where(same, 1.0, -1.0))

    assert np.array_equal(part[source] == part[target], same)


def test_a_twentieth_of_wrong_evidence_is_outvoted() -> None:
    source, target, same = clusters([8] * 60)
    near = np.abs(source - target) < 40
    source, target, same = source[near], target[near], same[near]
    evidence = np.where(same, 1.0, -1.0)
    evidence[np.random.default_rng(0).random(len(source)) < 0.05] *= -1

    part = consistent_parts(480, source, target, evidence)

    assert np.mean((part[source] == part[target]) == same) > 0.98


def test_tracks_without_contradiction_stay_whole() -> None:
    source, target = np.array([0, 1, 4]), np.array([1, 2, 5])

    part = consistent_parts(6, source, target, np.array([0.3, 0.1, 1.0]))

    assert part.tolist() == [0, 0, 0, 3, 4, 4]
    assert np.array_equal(
        np.unique(part, return_inverse=True)[1],
        np.unique(components(6, source, target), return_inverse=True)[1],
    )


def affine_track(num: int, seed: int, noise: float) -> tuple[NDArray[np.float32], NDArray[np.float32], Edges]:
    """True positions of one track in `num` photos, disturbed ones, and links between all, measured there."""
    rng = np.random.default_rng(seed)
    maps = np.eye(2) + rng.normal(0, 0.2, (num, 2, 2))
    truth = rng.uniform(20, 200, (num, 2))
    start = truth + np.where(np.arange(num)[:, None] > 0, rng.normal(0, 0.4, (num, 2)), 0)
    source, target = np.triu_indices(num, 1)
    jacobian = maps[target] @ np.linalg.inv(maps[source])
    carried = truth[target] + np.einsum("eij,ej->ei", jacobian, start[source] - truth[source])
    carried += rng.normal(0, noise, carried.shape)
    edges = Edges(
        source.astype(np.int64),
        target.astype(np.int64),
        carried.astype(np.float32),
        jacobian.astype(np.float32),
        np.full(len(source), 0.1, np.float32),
        np.ones(len(source), np.float32),
    )
    return truth.astype(np.float32), start.astype(np.float32), edges


def refine_tracks(
    xy: NDArray[np.float32], edges: Edges, anchors: Anchors, options: TrackRefinement
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    with ThreadPoolExecutor(2) as pool:
        return refine_with(xy, edges, anchors, options, pool)


def nothing_held(num: int) -> Anchors:
    return Anchors(np.zeros(num, bool), np.zeros(num, bool))


def test_exact_links_lead_back_to_the_true_positions() -> None:
    truth, start, edges = affine_track(7, 0, 0.0)

    refined, kept = refine_tracks(start, edges, nothing_held(7), TrackRefinement(rounds=60))

    assert kept.all()
    np.testing.assert_allclose(refined, truth, atol=1e-3)
    assert np.array_equal(refined[0], start[0])  # the oldest keypoint says which point is meant


def test_noise_is_averaged_over_the_links() -> None:
    one_link, all_links = [], []
    for seed in range(40):
        truth, start, edges = affine_track(8, seed, 0.2)
        refined, _ = refine_tracks(start, edges, nothing_held(8), TrackRefinement())
        all_links.append(np.linalg.norm(refined - truth, axis=1)[1:])
        one_link.append(np.linalg.norm(edges.xy[:7] - truth[1:], axis=1))

    assert np.median(all_links) < 0.65 * np.median(one_link)


def test_frozen_keypoints_stay_and_snapped_ones_nearly() -> None:
    truth, start, edges = affine_track(6, 3, 0.0)
    frozen, snapped = np.arange(6) == 4, np.arange(6) == 2
    start[2] = truth[2]

    refined, _ = refine_tracks(start, edges, Anchors(frozen, snapped), TrackRefinement(rounds=60))

    assert np.array_equal(refined[4], start[4])
    assert np.linalg.norm(refined[2] - truth[2]) < np.linalg.norm(start[4] - truth[4])


def test_a_link_that_contradicts_the_others_is_cut() -> None:
    truth, start, edges = affine_track(7, 5, 0.05)
    wrong = 8
    edges.xy[wrong] += 6

    refined, kept = refine_tracks(start, edges, nothing_held(7), TrackRefinement())

    assert np.flatnonzero(~kept).tolist() == [wrong]
    assert np.linalg.norm(refined - truth, axis=1).max() < 0.4
