"""What fails after models have grown takes nothing with it: models, database and a record of it stay."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pycolmap
import pytest
from click.testing import CliRunner

import sfm.pipelines.map_database
import sfm.stages.write_results
from sfm.cli import main
from sfm.colmap.model_files import read_models
from sfm.config.loading import load_config
from sfm.config.schema import Config, RunConfig
from sfm.errors import WorkspaceError
from sfm.exports.models import holds_final_models
from sfm.pipelines.map_database import map_database
from sfm.report.result import Result
from sfm.workspace.events import EventLog
from sfm.workspace.past_runs import read_record
from tests.faults.killing import Killer
from tests.mapping.synthetic import synthesize

CONFIG = Config(run=RunConfig(threads=1))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos round a cloud of points, all pairs verified."""
    path = tmp_path_factory.mktemp("scene") / "in.db"
    return synthesize(path, num_images=6, num_points=200).database


@pytest.fixture(scope="module")
def finished(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a run in which all went well; not to be changed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert map_database(database, output=out, config=CONFIG).run.status == "ok"
    return out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            "UPDATE two_view_geometries SET rows = 0, data = NULL, config = 1",
            "matched with 5 photos, none fits",
        ),
        ("DELETE FROM two_view_geometries", "no pair with it has a two-view geometry in the database"),
    ],
)
def test_a_photo_of_a_database_is_left_out_for_what_its_pairs_show(
    change: str, reason: str, database: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.db"
    shutil.copy(database, source)
    with closing(sqlite3.connect(source)) as db, db:
        (name, image_id) = db.execute("SELECT name, image_id FROM images ORDER BY name DESC").fetchone()
        for (pair_id,) in db.execute("SELECT pair_id FROM two_view_geometries").fetchall():
            if image_id in pycolmap.pair_id_to_image_pair(pair_id):
                db.execute(f"{change} WHERE pair_id = ?", (pair_id,))

    result = map_database(source, output=tmp_path / "out", config=CONFIG)

    (outcome,) = (one for one in result.run.outcomes if one.name == name)
    assert outcome.model is None
    assert outcome.reason.startswith(reason)


def test_models_are_there_before_refinement_but_take_the_place_of_no_finished_ones(
    database: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    shutil.copytree(finished, old)

    def fail(*_: object, **__: object) -> object:
        raise IndexError("empty quantile")

    with monkeypatch.context() as patch:
        patch.setattr(sfm.pipelines.map_database, "refine_models", fail)
        for out in (new, old, new):
            with pytest.raises(IndexError):
                map_database(database, output=out, config=CONFIG)

    assert pycolmap.Reconstruction(new / "sparse" / "0").num_reg_images() == 6
    assert not holds_final_models(new)
    assert len(read_models(new)) == 1
    assert [f"{new}: no run has finished there yet" in line for line in caplog.messages] == [True]
    for name in ("images.bin", "points3D.bin"):
        assert (old / "sparse/0" / name).read_bytes() == (finished / "sparse/0" / name).read_bytes()
    (new / "sparse" / "0" / "images.bin").write_bytes(b"mine")
    map_database(database, output=new, config=CONFIG)
    assert holds_final_models(new)
    assert (new / "sparse-earlier" / "0" / "images.bin").read_bytes() == b"mine"


def run_failing(name: str, database: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A run in which a function that it calls after registration has a bug."""

    def fail(*_: object, **__: object) -> object:
        raise IndexError("empty quantile")

    with monkeypatch.context() as patch:
        patch.setattr(sfm.stages.write_results, name, fail)
        return map_database(database, output=out, config=CONFIG)


@pytest.mark.parametrize(
    ("function", "step"),
    [
        ("georeference", "georeference"),
        ("write_points_ply", "export"),
        ("judged_models", "quality"),
        ("visual_aliasing", "look-alike places"),
        ("EventIndex", "diagnosis"),
        ("model_records", "figures"),
        ("write_report", "report"),
    ],
)
def test_a_bug_after_registration_costs_the_model_nothing(
    function: str, step: str, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    result = run_failing(function, database, out, monkeypatch)

    record = json.loads((out / "run.json").read_text())
    assert pycolmap.Reconstruction(out / "sparse" / "0").num_reg_images() == 6
    assert (out / "database.db").is_file()
    assert (out / "events.jsonl").is_file()
    assert record["status"] == result.run.status == "unfinished"
    assert [failure["step"] for failure in record["failures"]] == [step]
    assert "IndexError: empty quantile (test_outcomes.py:" in record["failures"][0]["error"]
    assert record["verdict"]["grade"] == "partial"
    assert f"{step} failed" in record["verdict"]["title"]
    assert "Traceback" in (out / "cache" / "tracebacks.txt").read_text()
    if step != "report":
        assert f"{step} failed" in (out / "report.html").read_text()


@pytest.mark.parametrize("name", ["report.html", "points.ply", "events.jsonl"])
def test_a_file_that_cannot_be_written_is_named_with_an_exit_code_of_its_own(
    name: str, database: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert map_database(database, output=out, config=CONFIG).run.status == "ok"
    (out / name).unlink()
    (out / name / "mine").mkdir(parents=True)

    done = CliRunner().invoke(main, ["map", str(database), "-o", str(out), "--threads", "1"])

    assert done.exit_code == 7
    assert f"the model is in {out / 'sparse' / '0'}" in done.stderr
    assert f" failed: cannot write to {out / name}: a folder is there\n" in done.stderr
    assert "\nhint: move it away. " in done.stderr
    assert "please report" not in done.stderr
    assert (out / name / "mine").is_dir()
    assert pycolmap.Reconstruction(out / "sparse" / "0").num_reg_images() == 6
    shutil.rmtree(out / name)
    assert map_database(database, output=out, config=CONFIG).run.status == "ok"


def test_a_model_in_which_no_photo_is_left_is_no_model(
    database: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before = (finished / "sparse" / "0" / "images.bin").read_bytes()
    register = sfm.pipelines.map_database.reconstruct

    def losing_all(*args: object, **options: object) -> object:
        found = register(*args, **options)
        for model in found.models:
            for frame_id in list(model.reg_frame_ids()):
                model.deregister_frame(frame_id)
        return found

    monkeypatch.setattr(sfm.pipelines.map_database, "reconstruct", losing_all)
    result = map_database(database, output=out, config=CONFIG)

    assert (result.run.status, result.models, result.run.failures) == ("no_model", (), ())
    assert "No model could be built" in (out / "report.html").read_text()
    assert (out / "sparse-earlier" / "0" / "images.bin").read_bytes() == before
    assert not (out / "sparse" / "0").exists()


@pytest.mark.parametrize("part", [".", "cache", "database.db"])
def test_a_run_whose_folder_is_removed_says_so(
    part: str, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write = EventLog.emit

    def removing(log: EventLog, stage: str, event: str, **fields: object) -> None:
        if (stage, event) == ("quality", "stage"):
            shutil.rmtree(out / part) if (out / part).is_dir() else (out / part).unlink()
        write(log, stage, event, **fields)

    monkeypatch.setattr(EventLog, "emit", removing)

    with pytest.raises(WorkspaceError, match="was removed"):
        map_database(database, output=out, config=CONFIG)


@pytest.mark.parametrize("kilobytes", [2, 100, 340])
def test_a_full_disk_is_told_as_that(kilobytes: int, kill: Killer, database: Path, tmp_path: Path) -> None:
    words = ["map", database, "-o", tmp_path / "out", "--threads", "1", "-q"]

    code, _ = kill.run(tmp_path, *words, max_file_bytes=1000 * kilobytes)

    said = (tmp_path / "said.txt").read_text()
    assert code in (WorkspaceError.exit_code, 7)
    assert "cannot write" in said
    assert "Traceback" not in said


def test_unlikely_photos_are_left_out_on_request_with_the_reason(finished: Path, tmp_path: Path) -> None:
    found = {o["name"]: o["quality"]["probability"] for o in read_record(finished / "run.json")["outcomes"]}
    least = min(found, key=lambda name: found[name])
    limit = sorted(found.values())[1]
    assert found[least] < limit

    result = map_database(
        finished / "database.db",
        output=tmp_path / "out",
        config=load_config(overrides=["run.threads=1", f"register.min_probability={limit}"]),
    )

    (outcome,) = (o for o in result.outcomes if o.status != "registered")
    assert outcome.name == least
    assert outcome.reason == f"its pose is right with a probability of {100 * found[least]:.0f} % only"
    assert "register.min_probability=0" in outcome.advice
    assert pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0").num_reg_images() == len(found) - 1
    assert result.run.models[0].num_images == len(found) - 1
