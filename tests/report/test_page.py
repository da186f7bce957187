"""The report is one offline file, right in every ending of a run, and safe with any file name."""

import json
import re
from pathlib import Path

import pycolmap
import pytest
from PIL import Image

from sfm.errors import InputError
from sfm.report import write_report
from sfm.report.figures import verdict
from sfm.workspace.events import EventLog
from tests.report.browser import open_page
from tests.report.conftest import judge

HOSTILE = "</script><script>document.title='owned'</script> \"'&<img src=x onerror=alert(1)>.png"


def test_the_page_runs_without_console_errors_and_draws_the_scene(tmp_path, make_run):
    out = make_run(tmp_path / "out", num_models=2, missing=["lost.png"], skipped=["half.jpg"])

    page = open_page(write_report(out), tmp_path / "profile")

    assert page.console == ()
    assert 'data-viewer="ready"' in page.dom
    assert "Model 1 (5)" in page.dom


def test_every_one_of_many_models_can_be_shown(tmp_path, make_run):
    out = make_run(tmp_path / "out", num_models=21)

    page = open_page(write_report(out), tmp_path / "profile")

    assert page.console == ()
    assert "Model 20 (5)" in page.dom


def test_the_page_works_without_any_model(tmp_path, make_run):
    out = make_run(tmp_path / "out", num_models=0, missing=["a.png", "b.png"])

    page = open_page(write_report(out), tmp_path / "profile")

    assert page.console == ()
    assert "No model could be built" in page.dom
    assert "<canvas" not in page.dom
    assert page.dom.count("too little overlap") == 2


def test_look_alikes_have_a_section_with_what_to_do(tmp_path, make_run):
    out = make_run(tmp_path / "out")
    assert 'id="look-alikes"' not in write_report(out).read_text()
    run = json.loads((out / "run.json").read_text())
    pair = {"a": "scene0/1.png", "b": "scene0/3.png", "score": 0.9, "num_inliers": 61, "why": "it <differs>"}
    told = {"inconsistent_pairs": [pair] * 25, "ambiguous": True, "aliasing_note": "Take photos between."}
    (out / "run.json").write_text(json.dumps({**run, **told}))

    html = write_report(out).read_text()

    section = html[html.index('id="look-alikes"') :]
    assert "Take photos between." in section
    assert section.count("it &lt;differs&gt;") == 20
    assert "and 5 more" in section
    assert "25 pairs probably join places that only look the same" in html


def test_pairs_that_the_stronger_matcher_matched_again_are_counted(tmp_path, make_run):
    out = make_run(tmp_path / "out")
    assert "again by aliked" not in write_report(out).read_text()
    run = json.loads((out / "run.json").read_text())
    run["pairs"]["again"] = 7
    (out / "run.json").write_text(json.dumps(run))

    assert ", 7 again by aliked" in write_report(out).read_text()


def test_photos_in_doubt_come_first_with_what_speaks_against_them(tmp_path, make_run):
    out = make_run(tmp_path / "out")
    assert "In doubt" not in write_report(out).read_text()
    judge(out, "scene0/2.png", sigma_position=None)
    judge(out, "scene0/4.png", doubt="it <hangs> on one photo")

    html = write_report(out).read_text()

    cards = html.split("<article")[1:]
    assert "scene0/4.png" in cards[0]
    assert "In doubt: it &lt;hangs&gt; on one photo" in cards[0]
    assert "0.41 px · angles of 12.3° · 1 of 4 photos agree · ± 0.012 units, 0.05°" in cards[0]
    held = next(card for card in cards if "scene0/2.png" in card)
    assert "1 of 4 photos agree</p>" in held
    assert sum("In doubt" in card for card in cards) == 1
    assert "1 registered photo is in doubt" in html


def test_a_model_with_photos_in_doubt_is_not_called_complete(tmp_path, make_run):
    out = make_run(tmp_path / "out")
    sound = verdict(json.loads((out / "run.json").read_text()))
    judge(out, "scene0/4.png", doubt="it hangs on one photo")

    doubted = verdict(json.loads((out / "run.json").read_text()))

    assert (sound.grade, sound.title) == ("good", "Complete: every photo is in one model")
    assert (doubted.grade, doubted.title) == ("partial", "Every photo is in one model, 1 of them in doubt")


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        ({"ambiguous": True}, "Every photo is in one model, it may be folded: places look alike"),
        (
            {"failures": [{"step": "quality", "error": "IndexError: none", "hint": ""}]},
            "Every photo is in one model, but not all was done: quality failed",
        ),
    ],
)
def test_the_verdict_knows_all_that_the_page_says_below(tmp_path, make_run, facts, title):
    out = make_run(tmp_path / "out")
    run = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**run, "inconsistent_pairs": [], **facts}))

    html = write_report(out).read_text()

    assert f"<h2>{title}</h2>" in html
    assert 'class="verdict partial"' in html
    assert "Complete" not in html


def test_a_model_that_hangs_on_one_photo_of_another_says_which(tmp_path, make_run):
    out = make_run(tmp_path / "out", num_models=2)
    assert "Model 1 is connected" not in write_report(out).read_text()
    events = EventLog(out / "events.jsonl")
    part = [f"scene1/{number}.png" for number in range(5)]
    events.emit("register", "split", model=0, names=part, articulation="scene0/2.png")
    for name in part:
        events.emit("register", "registered", model=1, name=name, how="split", num_visible=9, num_inliers=9)

    html = write_report(out).read_text()

    assert "Model 1 is connected with another one through scene0/2.png alone" in html
    assert "Model 0 is connected" not in html


def test_hostile_names_stay_text(tmp_path, make_run):
    name = HOSTILE.replace("/", "\N{DIVISION SLASH}")
    out = make_run(tmp_path / "out", rename={1: name}, missing=[HOSTILE], skipped=["\udcff.jpg"])

    page = open_page(write_report(out), tmp_path / "profile")

    assert page.console == ()
    assert "<title>out · LoopSfM report</title>" in page.dom
    assert "<img src=x" not in page.dom
    assert _data(out)["names"].count(HOSTILE) == 1


def test_nothing_is_loaded_from_elsewhere(tmp_path, make_run):
    html = write_report(make_run(tmp_path)).read_text()

    assert not re.search(r"""(src|href)=["'](?!data:|#)""", html)
    assert not re.search(r"https?://|@import|url\(", html)
    assert "default-src 'none'" in html


def test_each_round_says_what_was_asked_what_fitted_and_what_it_gained(tmp_path, make_run):
    html = write_report(make_run(tmp_path)).read_text()

    rows = re.findall(r"<tr>(.*?)</tr>", html[html.index("Rounds of the loop") :], re.DOTALL)
    cells = [re.sub(r"<[^>]*>", "|", row) for row in rows[1:4]]
    assert "4 loop (1 fit)" in cells[0]
    assert "before the first reconstruction" in cells[0]
    assert "3 unregistered (2 fit)" in cells[1]
    assert "4 → 5" in cells[1]
    assert "2 → 2" in cells[1]
    assert "none: models started again" in cells[2]
    assert "2 → 1" in cells[2]


def test_missing_photos_come_first_with_reason_and_advice(tmp_path, make_run):
    out = make_run(tmp_path, missing=["zz.png"], skipped=["half.jpg"])

    names = _data(write_report(out).parent)["names"]

    assert names[0] == "zz.png"
    assert names[-1] == "half.jpg"
    html = (out / "report.html").read_text()
    assert "too little overlap" in html
    assert "go closer" in html
    assert "truncated file" in html


def test_points_and_cameras_of_each_model_are_in_the_page(tmp_path, make_run):
    out = make_run(tmp_path, num_models=2)

    models = _data(write_report(out).parent)["models"]

    assert [model["count"] for model in models] == [80, 80]
    assert all(len(model["photos"]) == 5 and len(model["corners"]) == 60 for model in models)
    assert sorted(photo for model in models for photo in model["photos"]) == list(range(10))


def test_given_thumbnails_are_used_and_kept_small(tmp_path, make_run):
    out = make_run(tmp_path)
    noisy = tmp_path / "thumb.jpg"
    Image.effect_noise((1000, 800), 200).save(noisy, quality=95)

    html = write_report(out, thumbnails={"scene0/1.png": noisy}).read_text()

    sizes = [len(uri) for uri in re.findall(r"data:image/jpeg;base64,([^\"]+)", html)]
    assert len(sizes) == 5
    assert max(sizes) <= 20_000 * 4 / 3 + 4


def test_photos_that_are_gone_leave_a_blank_place(tmp_path, make_run):
    out = make_run(tmp_path)
    for photo in (out / "images").rglob("*.png"):
        photo.unlink()

    assert write_report(out).read_text().count("no picture") == 5


def test_without_a_finished_run_there_is_no_report(tmp_path):
    with pytest.raises(InputError, match=r"run\.json cannot be read"):
        write_report(tmp_path)


def _data(out: Path) -> dict[str, object]:
    html = (out / "report.html").read_text()
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    return json.loads(text[1])


def test_a_model_without_photos_is_a_page_all_the_same(tmp_path, make_run):
    out = make_run(tmp_path / "out", num_models=2)
    run = json.loads((out / "run.json").read_text())
    run["outcomes"] = [outcome for outcome in run["outcomes"] if outcome["model"] == 0]
    (out / "run.json").write_text(json.dumps(run))
    pycolmap.Reconstruction().write(out / "sparse" / "1")

    html = write_report(out).read_text()

    assert "scene0/1.png" in html


def test_cameras_tell_their_field_of_view_and_what_was_tried(tmp_path, make_run):
    out = make_run(tmp_path / "out")
    tried = {"camera_id": 1, "num_images": 5, "shift": {"cx": -6.46, "cy": 1.0}, "sigma": {"cx": 0.24}}
    tried |= {"block": "principal_point", "sigmas": 9.0, "log_evidence": 21.0, "why": "supported"}
    EventLog(out / "events.jsonl").emit("register", "intrinsics", model=0, accepted=True, **tried)
    lost = tried | {"block": "OPENCV"}
    EventLog(out / "events.jsonl").emit("register", "intrinsics", model=None, accepted=True, **lost)

    html = write_report(out).read_text(encoding="utf-8")

    assert "<td>43° x 33°</td>" in html  # 320 x 240 px, f 400 px, little distortion
    assert "Taken: a free principal point (cx -6.46 ± 0.24, cy +1), supported. Log evidence: 21.0." in html
    assert "OPENCV" not in html[html.index('id="cameras"') : html.index('id="config"')]
