"""Each way in which a photo can be lost is told apart, with its figures and what helps."""

from __future__ import annotations

import pytest

from sfm.config.colmap import ColmapValues
from sfm.config.schema import RegisterConfig
from sfm.diagnosis.unregistered import EventIndex
from sfm.pairs.history import History

PHOTOS = ("a.jpg", "b.jpg", "c.jpg", "lost.jpg")


def photo(name, num_keypoints=4000):
    return [
        {"event": "photo", "name": name, "width": 1, "height": 1, "camera_id": 1},
        {"event": "features", "name": name, "num_keypoints": num_keypoints, "cached": False},
    ]


def pair(a, b, num_inliers, num_matches=40):
    kind = "calibrated" if num_inliers else "undefined"
    figures = {"num_matches": num_matches, "num_inliers": num_inliers, "config": kind}
    return {"event": "pair", "a": a, "b": b, "reason": "knn", "round": 0, **figures}


def registered(name, model=0):
    return {
        "event": "registered",
        "model": model,
        "name": name,
        "how": "pnp",
        "num_visible": 90,
        "num_inliers": 80,
    }


def scene(*events, num_keypoints=4000):
    """a, b and c form a model; `events` say what happened to lost.jpg."""
    photos = [e for name in PHOTOS[:3] for e in photo(name)] + photo("lost.jpg", num_keypoints)
    model = [pair("a.jpg", "b.jpg", 200), pair("b.jpg", "c.jpg", 150), *map(registered, PHOTOS[:3])]
    return [*photos, *model, *events]


def diagnose(*events, **options):
    return EventIndex(History(scene(*events, **options))).diagnose("lost.jpg")


def test_a_skipped_file_keeps_its_own_reason():
    found = diagnose({"event": "skipped", "name": "lost.jpg", "reason": "cut off after 12 kB"})

    assert found.reason == "cut off after 12 kB"


def test_pairs_that_failed_say_nothing_of_the_photo():
    failed = {"why": "out of memory", "failed": True}
    lost = [pair("a.jpg", "lost.jpg", 0, 0) | failed, pair("b.jpg", "lost.jpg", 0, 0) | failed]

    found = diagnose(*lost, pair("c.jpg", "lost.jpg", 0, 9))

    assert found.reason == "2 of its 3 pairs could not be matched: out of memory"
    assert "same command again" in found.advice
    assert "c.jpg, shares 9 matches" in diagnose(lost[0], pair("c.jpg", "lost.jpg", 0, 9)).reason


@pytest.mark.parametrize(
    ("count", "words"), [(0, "no keypoints"), (9, "only 9 keypoints"), (1, "only 1 keypoint ")]
)
def test_too_few_keypoints(count, words):
    found = diagnose(num_keypoints=count)

    assert words in found.reason
    assert "sharp" in found.advice


def test_never_matched():
    found = diagnose()

    assert "not matched with any photo" in found.reason
    assert "retrieval.mode=exhaustive" in found.advice


def test_no_pair_verified_names_the_best_one():
    found = diagnose(
        pair("a.jpg", "lost.jpg", 0, num_matches=14), pair("b.jpg", "lost.jpg", 0, num_matches=22)
    )

    assert "matched with 2 photos, none fits: the best, b.jpg, shares 22 matches" in found.reason
    assert "fewer than 15" in found.reason
    assert "between it and b.jpg" in found.advice
    assert "overlap" in found.advice


def test_a_photo_without_a_single_match_says_so():
    found = diagnose(pair("a.jpg", "lost.jpg", 0, num_matches=0), pair("b.jpg", "lost.jpg", 0, num_matches=0))

    assert found.reason == "matched with 2 photos, none fits: it shares not a single match with any of them"
    assert "between it and the others" in found.advice


def test_many_matches_without_common_motion_point_to_moving_or_repeated_things():
    found = diagnose(pair("a.jpg", "lost.jpg", 0, num_matches=300))

    assert "move or repeat" in found.advice


def test_weak_texture_is_mentioned():
    found = diagnose(pair("a.jpg", "lost.jpg", 0), num_keypoints=60)

    assert "only 60 keypoints" in found.reason


def test_rejected_says_how_much_it_saw_and_what_is_needed():
    why = "too few of the visible points agree on one pose"
    attempts = [
        {"event": "rejected", "model": 0, "name": "lost.jpg", "num_visible": n, "why": why} for n in (31, 44)
    ]

    found = diagnose(pair("b.jpg", "lost.jpg", 40), *attempts)

    assert "tried 2 times" in found.reason
    assert "sees 44 points of model 0" in found.reason
    assert "30 needed" in found.reason
    assert "b.jpg" in found.advice


def test_rejections_by_models_that_were_thrown_away_do_not_count():
    rejected = {"event": "rejected", "name": "lost.jpg", "num_visible": 50, "why": "x"}

    found = diagnose(pair("b.jpg", "lost.jpg", 40), rejected)

    assert "tried" not in found.reason


def test_too_few_points_seen():
    found = diagnose(pair("a.jpg", "lost.jpg", 17), pair("b.jpg", "lost.jpg", 28))

    assert "fits 2 registered photos (best b.jpg, 28 inliers)" in found.reason
    assert "than the 30 that a pose needs" in found.reason


def test_a_pair_apart_from_the_model_is_too_small():
    found = diagnose(*photo("friend.jpg"), pair("friend.jpg", "lost.jpg", 90))

    assert "fits only friend.jpg: a model of 2 photos is dropped, 3 are needed" in found.reason
    assert "rest of the scene" in found.advice


def test_a_larger_group_that_could_not_start():
    more = [e for name in ("x.jpg", "y.jpg") for e in photo(name)]

    found = diagnose(*more, pair("lost.jpg", "x.jpg", 60), pair("x.jpg", "y.jpg", 60))

    assert "3 photos in all, but no pair of them could start a model" in found.reason


def test_taken_out_again():
    taken_out = {"event": "filtered", "model": 0, "name": "lost.jpg", "why": "too few observations"}

    found = diagnose(pair("a.jpg", "lost.jpg", 40), registered("lost.jpg"), taken_out)

    assert found.reason == "was registered, then taken out again: too few observations"


def test_the_runs_own_thresholds_are_quoted():
    index = EventIndex(
        History(scene(pair("a.jpg", "lost.jpg", 17))),
        register=RegisterConfig(colmap=ColmapValues().but(abs_pose_min_num_inliers=12)),
    )

    assert "than the 12 that" in index.diagnose("lost.jpg").reason


def test_a_thousand_photos_take_no_time():
    names = [f"{i:04d}.jpg" for i in range(1000)]
    events = [e for name in names for e in photo(name)]
    events += [pair(a, b, 0) for i, a in enumerate(names) for b in names[i + 1 : i + 13]]

    index = EventIndex(History(events))

    assert all(index.diagnose(name).reason for name in names)
