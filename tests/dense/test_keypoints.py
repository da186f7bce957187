"""Canonical keypoints: exact, in long tracks, append-only, the same for any order."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval import Pair
from sfm.mast3r.values import DenseMatches
from sfm.matching.dense.tracks.keypoints import KeypointOptions, TrackKeypoints, build_tracks
from sfm.matching.dense.tracks.raw_tracks import raw_keypoints
from tests.dense.scenes import Scene, TrackErrors, judge, make_scene, neighbour_pairs

OPTIONS = KeypointOptions()


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Eight photos, some at two, some at three photo pixels a network pixel."""
    return make_scene(8, photo_px=(2.0, 3.0))


@pytest.fixture(scope="module")
def dense(scene: Scene) -> dict[Pair, DenseMatches]:
    return scene.all_matches(neighbour_pairs(scene, 4))


@pytest.fixture(scope="module")
def tracked(scene: Scene, dense: dict[Pair, DenseMatches]) -> TrackKeypoints:
    return build_tracks(dense, scene.photo_px, {}, OPTIONS)


def judged(scene: Scene, result: TrackKeypoints) -> TrackErrors:
    return judge(scene, result.keypoints, result.matches)


def equal(one: TrackKeypoints, other: TrackKeypoints) -> bool:
    """Bit for bit."""
    return all(
        first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)
        for first, second in (
            (one.keypoints, other.keypoints),
            (one.matches, other.matches),
            (one.confidence, other.confidence),
        )
    )


def test_tracks_are_long_exact_and_free_of_conflicts(
    scene: Scene, dense: dict[Pair, DenseMatches], tracked: TrackKeypoints
) -> None:
    ours, naive = judged(scene, tracked), judged(scene, raw_keypoints(dense, scene.photo_px))

    assert ours.conflicts == 0
    assert ours.mean_length >= 2 * naive.mean_length
    assert ours.median_px < 0.22  # rounding alone is 0.4, and the noise comes on top
    assert naive.median_px > 0.38
    assert ours.wrong < 0.02
    assert naive.wrong > 0.1


def test_settling_makes_positions_more_exact(
    scene: Scene, dense: dict[Pair, DenseMatches], tracked: TrackKeypoints
) -> None:
    carried = build_tracks(dense, scene.photo_px, {}, replace(OPTIONS, refine=False))

    assert judged(scene, tracked).median_px < 0.8 * judged(scene, carried).median_px


def test_tables_and_matches_fit_the_database(
    scene: Scene, dense: dict[Pair, DenseMatches], tracked: TrackKeypoints
) -> None:
    assert tracked.matches.keys() == tracked.confidence.keys() == dense.keys()
    for name, table in tracked.keypoints.items():
        width, height = scene.by_name[name].colmap_camera.width, scene.by_name[name].colmap_camera.height
        assert table.dtype == np.float32
        assert np.all((table >= 0) & (table <= [width, height]))
        used = {
            int(row)
            for pair, rows in tracked.matches.items()
            if name in pair
            for row in rows[:, pair.index(name)]
        }
        assert used == set(range(len(table)))
    for pair, rows in tracked.matches.items():
        assert rows.dtype == np.uint32
        assert tracked.confidence[pair].dtype == np.float32
        assert tracked.confidence[pair].shape == (len(rows),)
        assert all(len(np.unique(rows[:, i])) == len(rows) for i in range(2))


def test_the_order_of_mappings_does_not_matter(
    scene: Scene, dense: dict[Pair, DenseMatches], tracked: TrackKeypoints
) -> None:
    backwards = build_tracks(
        dict(reversed(dense.items())), dict(reversed(scene.photo_px.items())), {}, OPTIONS, threads=1
    )

    assert equal(tracked, backwards)


def test_later_rounds_append_and_use_what_is_there(
    scene: Scene, dense: dict[Pair, DenseMatches], tracked: TrackKeypoints
) -> None:
    early = {pair: found for pair, found in dense.items() if (hash_of(pair) % 3) != 0}
    late = {pair: found for pair, found in dense.items() if pair not in early}
    first = build_tracks(early, scene.photo_px, {}, OPTIONS)

    second = build_tracks(late, scene.photo_px, first.keypoints, OPTIONS, existing_matches=first.matches)

    for name, table in first.keypoints.items():
        assert np.array_equal(second.keypoints[name][: len(table)], table)
    together = judge(scene, second.keypoints, first.matches | second.matches)
    assert together.conflicts <= 0.01 * together.num_tracks
    assert together.median_px < 0.3
    assert together.wrong < 0.03
    assert together.mean_length > 0.75 * judged(scene, tracked).mean_length


def hash_of(pair: Pair) -> int:
    return int(pair.a[6:9]) * 7 + int(pair.b[6:9])


def test_rounds_without_known_matches_still_meet_in_the_same_keypoints(
    scene: Scene, dense: dict[Pair, DenseMatches]
) -> None:
    pair = next(iter(dense))
    once = build_tracks({pair: dense[pair]}, scene.photo_px, {}, OPTIONS)

    again = build_tracks({pair: dense[pair]}, scene.photo_px, once.keypoints, OPTIONS)

    known = {tuple(match) for match in once.matches[pair].tolist()}
    assert len(known & {tuple(match) for match in again.matches[pair].tolist()}) > 0.95 * len(known)


def test_a_photo_gains_no_more_keypoints_than_allowed(scene: Scene, dense: dict[Pair, DenseMatches]) -> None:
    result = build_tracks(dense, scene.photo_px, {}, replace(OPTIONS, max_keypoints=100, max_matches=30))

    assert all(len(table) <= 100 for table in result.keypoints.values())
    assert all(10 < len(rows) <= 30 for rows in result.matches.values())


def test_few_keypoints_are_spread_over_the_photo(scene: Scene, dense: dict[Pair, DenseMatches]) -> None:
    result = build_tracks(dense, scene.photo_px, {}, replace(OPTIONS, max_keypoints=120))

    for name, table in result.keypoints.items():
        cells = np.unique((table / scene.photo_px[name] // 64).astype(int), axis=0)
        assert len(cells) >= 7  # of 12


def test_wrong_pairs_give_hardly_any_match(scene: Scene, dense: dict[Pair, DenseMatches]) -> None:
    rng = np.random.default_rng(0)
    shuffled = {
        pair: DenseMatches(found.xy_a, rng.permutation(found.xy_b), found.confidence)
        for pair, found in dense.items()
    }

    result = build_tracks(shuffled, scene.photo_px, {}, OPTIONS)

    assert sum(map(len, result.matches.values())) < 0.01 * sum(len(d.confidence) for d in dense.values())


def test_a_wrong_pair_does_not_spoil_the_others(
    scene: Scene, dense: dict[Pair, DenseMatches], tracked: TrackKeypoints
) -> None:
    """One pair is consistently wrong, as repeated structure makes it."""
    pair = sorted(dense)[5]
    found = dense[pair]
    spoiled = {**dense, pair: DenseMatches(found.xy_a, found.xy_b + np.float32(40), found.confidence)}

    result = build_tracks(spoiled, scene.photo_px, {}, OPTIONS)

    others = {other: rows for other, rows in result.matches.items() if other != pair}
    kept = judge(scene, result.keypoints, others)
    assert kept.wrong < judged(scene, tracked).wrong + 0.02
    assert kept.mean_length > 0.85 * judged(scene, tracked).mean_length
    assert judged(scene, result).conflicts == 0


def test_unusable_matches_are_refused_and_counted(scene: Scene, dense: dict[Pair, DenseMatches]) -> None:
    pair = next(iter(dense))
    found = dense[pair]
    rubbish = np.array([[np.nan, 5], [np.inf, 5], [-4, 5], [1e30, 5], [5, 5], [5, 5], [5, 5]], np.float32)
    fine = np.full((len(rubbish), 2), 7, np.float32)
    confidence = np.array([1, 1, 1, 1, np.nan, -1, 0], np.float32)
    spoiled = DenseMatches(
        np.concatenate((found.xy_a, rubbish)),
        np.concatenate((found.xy_b, fine)),
        np.concatenate((found.confidence, confidence)),
    )

    result = build_tracks({pair: spoiled}, scene.photo_px, {}, OPTIONS)

    assert result.refused == {pair: len(rubbish)}
    assert equal(result, build_tracks({pair: found}, scene.photo_px, {}, OPTIONS))


def test_matches_without_enough_confidence_are_left_out(
    scene: Scene, dense: dict[Pair, DenseMatches]
) -> None:
    limit = float(np.median(np.concatenate([found.confidence for found in dense.values()])))

    result = build_tracks(dense, scene.photo_px, {}, replace(OPTIONS, min_confidence=limit))

    total = sum(len(found.confidence) for found in dense.values())
    assert abs(sum(result.refused.values()) / total - 0.5) < 0.02


@pytest.mark.parametrize("existing", [{}, {"photo_001.jpg": np.array([[3.5, 4.5]], np.float32)}])
def test_no_tracks_without_matches(existing: Mapping[str, NDArray[np.float32]]) -> None:
    empty = DenseMatches(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
    pair = Pair("photo_000.jpg", "photo_001.jpg")
    px = {"photo_000.jpg": 2.0, "photo_001.jpg": 3.0}

    for pairs in ({}, {pair: empty}):
        result = build_tracks(pairs, px, existing, OPTIONS)

        assert all(rows.shape == (0, 2) for rows in result.matches.values())
        assert {name: len(table) for name, table in result.keypoints.items() if len(table)} == {
            name: len(table) for name, table in existing.items()
        }


@pytest.mark.parametrize("px", [{}, {"a": 0.0, "b": 1.0}, {"a": float("nan"), "b": 1.0}, {"a": 1.0}])
def test_photos_need_a_scale(px: dict[str, float]) -> None:
    some = DenseMatches(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32), np.ones(3, np.float32))

    with pytest.raises(ValueError, match="photo_px must be positive"):
        build_tracks({Pair("a", "b"): some}, px, {}, OPTIONS)


def test_arrays_that_do_not_fit_are_named() -> None:
    bad = DenseMatches(np.ones((3, 2), np.float32), np.ones((2, 2), np.float32), np.ones(3, np.float32))
    good = DenseMatches(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32), np.ones(3, np.float32))
    px = {"a": 1.0, "b": 1.0}

    with pytest.raises(ValueError, match=r"a, b: matches of shapes"):
        build_tracks({Pair("a", "b"): bad}, px, {}, OPTIONS)
    with pytest.raises(ValueError, match="must ascend"):
        build_tracks({Pair("b", "a"): good}, px, {}, OPTIONS)
    with pytest.raises(ValueError, match="a: existing keypoints"):
        build_tracks({Pair("a", "b"): good}, px, {"a": np.ones((4, 3), np.float32)}, OPTIONS)


def test_corners_attract_keypoints_at_birth_only(scene: Scene, dense: dict[Pair, DenseMatches]) -> None:
    """Corners are points of the scene, found exactly in all photos."""
    names = [camera.name for camera in scene.cameras]
    first = scene.cameras[3]
    seeds = np.random.default_rng(0).uniform([5, 5], [250, 186], (1500, 2))
    points = scene.lift(first, seeds)
    points = points[np.isfinite(points[:, 0])]
    corners = {}
    for camera in scene.cameras:
        uv = scene.seen(camera, points)
        corners[camera.name] = camera.pixels.to_photo(uv[np.isfinite(uv[:, 0])])
    existing = {names[0]: corners[names[0]][:5] + np.float32(1)}

    result = build_tracks(dense, scene.photo_px, existing, OPTIONS, corners=corners)

    snapped = 0
    for name, table in result.keypoints.items():
        gap = np.linalg.norm(table[:, None] - corners[name][None], axis=2).min(1) / scene.photo_px[name]
        snapped += int(np.sum(gap < 0.25))
    plain = build_tracks(dense, scene.photo_px, existing, OPTIONS)
    unsnapped = sum(
        int(np.sum(np.linalg.norm(t[:, None] - corners[n][None], axis=2).min(1) < 0.25 * scene.photo_px[n]))
        for n, t in plain.keypoints.items()
    )
    assert snapped > 2 * unsnapped
    assert np.array_equal(result.keypoints[names[0]][:5], existing[names[0]])
    assert judged(scene, result).median_px < judged(scene, plain).median_px
