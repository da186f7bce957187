"""The demo: every photo in one exact model from a fraction of the pairs, and all that the user gets."""

import json
import os
import shutil
from pathlib import Path

import pycolmap
import pytest

from sfm.evaluation import evaluate
from sfm.exports.models import model_indices
from tests.conftest import MakeOnce
from tests.e2e.conftest import Command, halved

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=[2, pytest.param(1, marks=pytest.mark.slow)], ids=["half", "whole"])
def demo(
    request: pytest.FixtureRequest,
    demo_data: Path,
    make_once: MakeOnce,
    sfm_process: Command,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """OUT of the demo, of photos of half their size where time is short; a copy: commands lock it."""
    photos = demo_data / "images"
    if request.param == 2:
        photos = make_once("half photos", lambda folder: halved(demo_data / "images", folder))

    def run(folder: Path) -> None:
        places = f"photos={photos}", f"output={folder / 'out'}"
        done = sfm_process("run", "--config", ROOT / "configs" / "demo.yaml", *places)
        assert done.returncode == 0, done.stderr

    out = tmp_path_factory.mktemp("demo") / "out"
    return shutil.copytree(make_once(f"demo {request.param}", run) / "out", out, symlinks=True)


def test_every_photo_is_in_one_exact_model(demo: Path, demo_data: Path) -> None:
    evaluation = evaluate(demo, demo_data / "gt.json").to_dict()

    assert evaluation["registered"] == evaluation["photos"] == len(list((demo_data / "images").iterdir()))
    assert model_indices(demo) == [0]
    assert evaluation["auc"]["3"] >= 95  # type: ignore[index]


def test_half_of_the_pairs_were_enough(demo: Path) -> None:
    pairs = json.loads((demo / "run.json").read_text())["pairs"]

    assert pairs["fraction"] < 0.5
    assert pairs["verified"] <= pairs["matched"]


def test_suspects_that_the_model_clears_are_counted_and_no_longer_listed(demo: Path) -> None:
    run = json.loads((demo / "run.json").read_text())
    counts = {stage["stage"]: stage["counts"] for stage in run["stages"]}

    assert counts["quality"]["cleared"] == counts["inconsistent_pairs"]["named"] - len(
        run["inconsistent_pairs"]
    )


def test_the_output_opens_as_a_colmap_dataset(demo: Path) -> None:
    model = pycolmap.Reconstruction(demo / "sparse" / "0")

    assert all((demo / "images" / image.name).is_file() for image in model.images.values())
    colours = {tuple(point.color) for point in model.points3D.values()}
    assert len(colours) > 100


def test_colmap_matches_the_database_again(demo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "database.db"
    copy.write_bytes((demo / "database.db").read_bytes())
    db = pycolmap.Database.open(copy)
    db.clear_matches()
    db.clear_two_view_geometries()
    db.close()
    names = sorted(path.name for path in (demo / "images").iterdir())[:3]
    (tmp_path / "pairs.txt").write_text(f"{names[0]} {names[1]}\n{names[1]} {names[2]}\n")
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = tmp_path / "pairs.txt"

    pycolmap.match_image_pairs(copy, pairing_options=pairing, device=pycolmap.Device.cpu)

    assert pycolmap.Database.open(copy).num_verified_image_pairs() == 2


def test_nothing_that_may_be_shared_names_a_folder_of_this_machine(
    demo: Path,
    demo_data: Path,
    tmp_path: Path,
    sfm_command: Command,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for form in ("txt", "ply", "3dgs", "nerfstudio"):
        assert sfm_command("export", demo, "--to", form, "-d", tmp_path / form, "-q").returncode == 0
    assert sfm_command("graph", demo, "-o", tmp_path / "graph").returncode == 0
    inside = (path for path in demo.rglob("*") if "cache" not in path.relative_to(demo).parts)
    files = [path for path in (*inside, *tmp_path.rglob("*")) if path.is_file() and not path.is_symlink()]
    private = [
        os.fsencode(folder)
        for folder in (demo_data.parent, tmp_path_factory.getbasetemp().parent, Path.home())
    ]

    told = [(path.name, text) for path in files for text in private if text in path.read_bytes()]

    assert {"run.json", "events.jsonl", "report.html", "transforms.json"} <= {path.name for path in files}
    assert told == []


def test_each_registered_photo_has_its_story(demo: Path, sfm_command: Command) -> None:
    name = min(path.name for path in (demo / "images").iterdir())

    story = sfm_command("explain", demo, name).stdout

    assert name in story
    assert "inliers" in story


def test_the_readme_example_runs(
    small_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    for path in sorted(small_photos.iterdir())[:4]:
        (tmp_path / "photos" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    example = (ROOT / "README.md").read_text().split("```python")[1].split("```")[0]

    exec(compile(example, "README.md", "exec"), {})

    assert "registered  4 of 4 photos" in capsys.readouterr().out


def test_the_report_is_one_file_that_needs_no_network(demo: Path) -> None:
    page = (demo / "report.html").read_text()

    assert "28 of 28" in page
    assert 'src="http' not in page
    assert 'href="http' not in page
