"""Why a photo is in a model or not, as diagnosed and as told."""

import json

import pytest

from sfm.config.colmap import ColmapValues
from sfm.config.schema import RegisterConfig
from sfm.diagnosis.explain import explain
from sfm.diagnosis.unregistered import EventIndex
from sfm.errors import InputError
from sfm.pairs.history import History
from sfm.workspace.events import EventLog
from tests.report.conftest import judge


def test_a_registered_photo(tmp_path, make_run):
    out = make_run(tmp_path)

    text = explain(out, "scene0/1.png")

    assert text.startswith("scene0/1.png: registered in model 0, 80 points seen\n")
    assert "320 x 240 px, camera 1 (shared with 4 more)" in text
    assert "Keypoints     500" in text
    assert "4 matched (4 knn), 4 verified" in text
    assert "registered in model 0 (pnp): saw 60, 55 inliers" in text


def test_how_well_a_photo_is_held_and_why_it_is_in_doubt(tmp_path, make_run):
    out = make_run(tmp_path)
    assert "Held by" not in explain(out, "scene0/1.png")  # of a run that did not look
    judge(out, "scene0/2.png", doubt="80 % of its matches contradict its pose")

    lines = explain(out, "scene0/2.png").splitlines()

    assert lines[1] == "Held by       0.41 px · angles of 12.3° · 1 of 4 photos agree · ± 0.012 units, 0.05°"
    assert lines[2] == "In doubt      80 % of its matches contradict its pose"
    assert "In doubt" not in explain(out, "scene0/1.png")


def test_partners_that_were_in_the_model_from_the_start_are_in_it(tmp_path, make_run):
    out = make_run(tmp_path)
    path = out / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    given = [e for e in events if e["event"] != "registered" or e["name"] == "scene0/1.png"]
    path.write_text("".join(f"{json.dumps(event)}\n" for event in given))

    lines = explain(out, "scene0/1.png").splitlines()

    partners = [line.split() for line in lines if line.startswith("  scene0/")]
    assert len(partners) == 4
    assert all(cells[-2:] == ["essential", "0"] for cells in partners)


def test_positions_are_metres_where_the_model_is(tmp_path, make_run):
    out = make_run(tmp_path)
    judge(out, "scene0/2.png", sigma_position=1.25)
    run = json.loads((out / "run.json").read_text())
    run["models"][0]["georeference"] = {"frame": "model", "why": "", "scale_from": "positions"}
    (out / "run.json").write_text(json.dumps(run))

    assert "± 1.2 m, 0.05°" in explain(out, "scene0/2.png")


def test_an_unregistered_photo_with_its_pairs_best_first(tmp_path, make_run):
    out = make_run(tmp_path, missing=["lost.png"])
    more = {"event": "pair", "reason": "unregistered", "round": 2, "num_matches": 120, "num_inliers": 0}
    EventLog(out / "events.jsonl").emit("match", a="lost.png", b="scene0/3.png", config="undefined", **more)

    lines = explain(out, "lost.png").splitlines()

    assert lines[:3] == [
        "lost.png: not registered",
        "Why           too little overlap",
        "What helps    go closer",
    ]
    rows = [line.split() for line in lines if "refused" in line]
    assert rows[0] == ["scene0/3.png", "unregistered", "2", "120", "refused", "0"]
    assert rows[1] == ["scene0/1.png", "knn", "0", "0.200", "90", "refused", "0"]


def test_look_alikes_are_told_surest_first(tmp_path, make_run):
    out = make_run(tmp_path)
    for other in (2, 3):
        pair = {"a": "scene0/1.png", "b": f"scene0/{other}.png", "score": 1 / other, "num_inliers": 60}
        EventLog(out / "events.jsonl").emit(
            "inconsistent_pairs", "inconsistent_pair", why=f"reason {other}", **pair
        )

    lines = explain(out, "scene0/1.png").splitlines()

    assert lines[-2] == "Look-alikes   probably no true pair with scene0/2.png: reason 2"
    assert lines[-1] == "              probably no true pair with scene0/3.png: reason 3"
    assert "probably no true pair with scene0/1.png: reason 3" in explain(out, "scene0/3.png")
    assert "Look-alikes" not in explain(out, "scene0/4.png")


def test_attempts_to_register_are_listed(tmp_path, make_run):
    out = make_run(tmp_path, missing=["lost.png"])
    why = "too few of the visible points agree on one pose"
    EventLog(out / "events.jsonl").emit(
        "register", "rejected", model=0, name="lost.png", num_visible=33, why=why
    )

    assert f"Registration  rejected by model 0: sees 33, {why}" in explain(out, "lost.png")


def test_a_run_that_was_stopped_is_explained_from_its_events(tmp_path, make_run):
    out = make_run(tmp_path, missing=["lost.png"])
    (out / "run.json").unlink()

    text = explain(out, "lost.png")

    assert "matched with 1 photo, none fits" in text


@pytest.mark.parametrize("photo", ["3.png", "scene0/3.png", "e0/3.png", "3", "scene0/3", "e0/3"])
def test_any_unambiguous_ending_will_do(tmp_path, make_run, photo):
    assert explain(make_run(tmp_path), photo).startswith("scene0/3.png:")


def test_an_ambiguous_name_is_refused_with_the_candidates(tmp_path, make_run):
    out = make_run(tmp_path, num_models=2)

    with pytest.raises(InputError, match=r"could be any of 2 photos: scene0/3\.png, scene1/3\.png"):
        explain(out, "3.png")


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path, make_run):
    out = make_run(tmp_path, missing=["IMG_2041.JPG"])

    with pytest.raises(InputError, match=r"no photo 'IMG_2014\.jpg'") as caught:
        explain(out, "IMG_2014.jpg")

    assert "IMG_2041.JPG" in caught.value.hint


def test_skipped_files_are_explained_too(tmp_path, make_run):
    assert "Why           truncated file" in explain(make_run(tmp_path, skipped=["half.jpg"]), "half.jpg")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no record of a run"):
        explain(tmp_path, "a.jpg")


def test_a_photo_of_a_part_that_hung_on_a_single_one(tmp_path, make_run):
    out = make_run(tmp_path)
    events = EventLog(out / "events.jsonl")
    part = ["scene0/1.png", "scene0/2.png", "scene0/3.png"]
    events.emit("register", "split", model=0, names=part, articulation="scene0/0.png")
    events.emit("register", "registered", model=1, name=part[0], how="split", num_visible=9, num_inliers=9)

    text = explain(out, part[0])

    assert "split off model 0" in text
    assert "through scene0/0.png alone" in text
    assert "registered in model 1 (split)" in text
    events.emit("register", "registered", model=0, name=part[0], how="merge", num_visible=9, num_inliers=9)
    assert "split off" not in explain(out, part[0])


def test_a_photo_whose_part_was_moved(tmp_path, make_run):
    out = make_run(tmp_path)
    events = EventLog(out / "events.jsonl")
    fields = {
        "model": 0,
        "names": ["scene0/1.png", "scene0/2.png"],
        "num_matches": [270, 8657],
    }
    events.emit("register", "relocated", **fields, accepted=False)
    assert "moved with" not in explain(out, "scene0/1.png")
    events.emit("register", "relocated", **fields, accepted=True)

    text = explain(out, "scene0/1.png")

    assert "moved with 1 others: 8,657 of the matches" in text
    assert "270 did with the first one" in text
    assert "moved with" not in explain(out, "scene0/3.png")


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


DIAGNOSES = {
    "skipped": (
        [{"event": "skipped", "name": "lost.jpg", "reason": "cut off after 12 kB"}],
        ("cut off after 12 kB",),
        (),
    ),
    "never matched": (
        [{"event": "edge", "a": "a.jpg", "b": "b.jpg", "score": 0.5}],
        ("not matched with any photo: none looks like it",),
        ("retrieval.mode=exhaustive",),
    ),
    "without a pair in a database": ([], ("no pair with it has a two-view geometry",), ("sfm match",)),
    "not a match": (
        [pair("a.jpg", "lost.jpg", 0, num_matches=0), pair("b.jpg", "lost.jpg", 0, num_matches=0)],
        ("matched with 2 photos, none fits: it shares not a single match with any of them",),
        ("between it and the others",),
    ),
    "no pair verified": (
        [pair("a.jpg", "lost.jpg", 0, num_matches=14), pair("b.jpg", "lost.jpg", 0, num_matches=22)],
        ("matched with 2 photos, none fits: the best, b.jpg, shares 22 matches", "fewer than 15"),
        ("between it and b.jpg", "overlap"),
    ),
    "many matches": ([pair("a.jpg", "lost.jpg", 0, num_matches=300)], (), ("move or repeat",)),
    "few points": (
        [pair("a.jpg", "lost.jpg", 17), pair("b.jpg", "lost.jpg", 28)],
        ("fits 2 registered photos (best b.jpg, 28 inliers)", "than the 30 that a pose needs"),
        (),
    ),
    "a pair apart": (
        [*photo("friend.jpg"), pair("friend.jpg", "lost.jpg", 90)],
        ("fits only friend.jpg: a model of 2 photos is dropped, 3 are needed",),
        ("rest of the scene",),
    ),
    "a group that could not start": (
        [*photo("x.jpg"), *photo("y.jpg"), pair("lost.jpg", "x.jpg", 60), pair("x.jpg", "y.jpg", 60)],
        ("3 photos in all, but no pair of them could start a model",),
        (),
    ),
    "taken out": (
        [
            pair("a.jpg", "lost.jpg", 40),
            registered("lost.jpg"),
            {"event": "filtered", "model": 0, "name": "lost.jpg", "why": "too few observations"},
        ],
        ("was registered, then taken out again: too few observations",),
        (),
    ),
}


@pytest.mark.parametrize("case", DIAGNOSES)
def test_what_happened_to_a_photo_is_its_reason(case):
    events, reasons, advices = DIAGNOSES[case]

    found = diagnose(*events)

    assert all(words in found.reason for words in reasons)
    assert all(words in found.advice for words in advices)


def test_pairs_that_failed_say_nothing_of_the_photo():
    failed = {"why": "out of memory", "failed": True}
    lost = [pair("a.jpg", "lost.jpg", 0, 0) | failed, pair("b.jpg", "lost.jpg", 0, 0) | failed]

    found = diagnose(*lost, pair("c.jpg", "lost.jpg", 0, 9))

    assert found.reason == "2 of its 3 pairs could not be matched: out of memory"
    assert "same command again" in found.advice
    assert "c.jpg, shares 9 matches" in diagnose(lost[0], pair("c.jpg", "lost.jpg", 0, 9)).reason


def test_weak_texture_is_mentioned():
    assert "only 60 keypoints" in diagnose(pair("a.jpg", "lost.jpg", 0), num_keypoints=60).reason


@pytest.mark.parametrize(
    ("count", "words"), [(0, "no keypoints"), (9, "only 9 keypoints"), (1, "only 1 keypoint ")]
)
def test_too_few_keypoints(count, words):
    found = diagnose(num_keypoints=count)

    assert words in found.reason
    assert "sharp" in found.advice


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


def test_the_runs_own_thresholds_are_quoted():
    index = EventIndex(
        History(scene(pair("a.jpg", "lost.jpg", 17))),
        register=RegisterConfig(colmap=ColmapValues().but(abs_pose_min_num_inliers=12)),
    )

    assert "than the 12 that" in index.diagnose("lost.jpg").reason
