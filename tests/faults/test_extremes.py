"""Numbers, lines and nesting that no library takes are refused with the name of the file."""

import json
import time
from pathlib import Path

import pytest

from sfm.config.loading import load_config
from sfm.diagnosis.explain import explain
from sfm.errors import ConfigError, InputError
from sfm.evaluation import load_ground_truth
from sfm.ingest.intrinsics import read_cameras_file
from sfm.ingest.positions import Sigmas, read_positions_file
from sfm.ingest.rigs import read_rig_config
from sfm.workspace.events import read_events

HUGE = ("1" + "0" * 400, "9" * 5000)
"""Integers that no float can hold, and that Python itself refuses to parse."""
TRUTH = '{"images": {"a": {"R_cw": [[1,0,0],[0,1,0],[0,0,1]], "t_cw": [0, 0, %s]}}}'
CAMERA = '{"images": {"a": {"R_cw": [[1,0,0],[0,1,0],[0,0,1]], "t_cw": [0, 0, 0]}}, "cameras": {"a": %s}}'
PINHOLE = '{"model": "PINHOLE", "width": %s, "height": 9, "params": [9, 9, 5, %s]}'
RIG = (
    '[{"cameras": [{"image_prefix": "a", "ref_sensor": true}, {"image_prefix": "b", "cam_from_rig_rotation": '
)
RIG += '[1, 0, 0, 0], "cam_from_rig_translation": [0, 0, %s]}]}]'


@pytest.mark.parametrize("number", HUGE)
def test_huge_integers_in_documents(number: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in (TRUTH % number, CAMERA % (PINHOLE % (number, 5)), CAMERA % (PINHOLE % (9, number))):
        path.write_text(text)
        with pytest.raises(InputError, match=r"x\.json"):
            load_ground_truth(path)
    path.write_text(RIG % number)
    with pytest.raises(InputError, match=r"x\.json"):
        read_rig_config(path)
    path.write_text(f"{number} PINHOLE 40 30 30 30 20 15\n")
    with pytest.raises(InputError, match=r"x\.json:1"):
        read_cameras_file(path)


def test_a_field_longer_than_csv_takes(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("a.jpg," + "1" * 140_000 + ",2,3\n")

    with pytest.raises(InputError, match=r"p\.csv:1: a line of 140010 letters"):
        read_positions_file(path, ("a.jpg",), Sigmas(1, 2))


def test_damaged_events_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = {"t": 1, "stage": "ingest", "event": "skipped", "name": "a", "reason": "why"}
    lines = [json.dumps(good), "[" * 100_000, "{" * 2000, "9" * 5000, "5", "[]", '{"event": "skipped"}', "x"]
    wrong = [json.dumps({**good, **change}) for change in ({"name": 5}, {"event": "pair"}, {"reason": None})]
    (tmp_path / "events.jsonl").write_text("\n".join([*lines, *wrong, json.dumps(good)]) + '\n{"torn')

    assert list(read_events(tmp_path / "events.jsonl")) == [good, good]
    assert "events.jsonl: 10 damaged lines are left out" in caplog.text


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "null", '{"outcomes": [{"name": 5}]}', "{\0}"])
def test_a_damaged_run_json_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(InputError, match=r"run\.json"):
        explain(tmp_path, "a")


@pytest.mark.parametrize("form", ["{k%d: 1}", "k%d: 1", '"k%d": 1'])
def test_a_configuration_of_very_many_keys_is_refused_in_seconds(form: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    keys = [form.strip("{}") % number for number in range(200_000)]
    if form.startswith("{"):
        path.write_text("{" + ", ".join(keys[:20_000]) + "}")
    elif form.startswith('"'):
        path.write_text('{"config": {' + ", ".join(keys) + "}}")
    else:
        path.write_text("\n".join(keys[:20_000]))
    start = time.process_time()

    with pytest.raises(ConfigError, match="more than 2000"):
        load_config(path)

    assert time.process_time() - start < 5
