"""Sets mixed in one folder: names that say nothing, and figures of each set."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import one_folder
import pytest
from engines import settings
from harness.measured import Measured

from tests.tools import fabricate


def write_set(folder: Path, names: list[str]) -> fabricate.Poses:
    poses = fabricate.poses_for(names)
    fabricate.write_photos(folder / "images", names)
    entries = {
        name: {"R_cw": pose.rotation.matrix().tolist(), "t_cw": pose.translation.tolist()}
        for name, pose in poses.items()
    }
    (folder / "gt.json").write_text(json.dumps({"images": entries, "unit": "m"}))
    return poses


def test_each_set_is_measured_in_its_own_models(tmp_path: Path, monkeypatch, capsys) -> None:
    first = write_set(tmp_path / "first", [f"{i}.jpg" for i in range(9)])
    second = write_set(tmp_path / "second", [f"b/{i}.jpg" for i in range(8)])
    mixes: list[dict[str, tuple[str, str]]] = []
    mixed = one_folder.mixed

    def remembered(*given) -> dict[str, tuple[str, str]]:
        mixes.append(mixed(*given))
        return mixes[-1]

    def run_python(command: list[str], given: object, log: Path) -> Measured:
        images, sparse = Path(command[3]), Path(command[5]) / "sparse"
        new = {origin: name for name, origin in mixes[0].items()}
        assert {path.name for path in images.iterdir()} == set(new.values())
        camera = ["PINHOLE 64 48 50 50 32 24"]
        alone = {new["first", f"{i}.jpg"]: first[f"{i}.jpg"] for i in range(7)}
        both = {new["second", f"b/{i}.jpg"]: second[f"b/{i}.jpg"] for i in range(0, 8, 2)}
        both[new["first", "8.jpg"]] = first["8.jpg"]
        fabricate.colmap_text(sparse / "0", alone, camera)
        fabricate.colmap_text(sparse / "1", both, camera)
        return Measured(9.0, 4.0, 1.0, 0, False, "")

    monkeypatch.setattr(one_folder, "mixed", remembered)
    monkeypatch.setattr(settings, "run_python", run_python)
    words = ["first", "second", "--data", tmp_path, "--cache", tmp_path / "cache", "--thin", "second=2"]
    monkeypatch.setattr(sys, "argv", ["one_folder.py", *map(str, words), "--out", str(tmp_path / "r.json")])
    one_folder.main()

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [tuple(row[k] for k in ("set", "photos", "registered", "models", "with_others")) for row in rows]
    assert told == [
        ("first", 9, 7, [7, 1], 1),
        ("second", 4, 0, [4], 4),
        ("all", 13, 12, [7, 5], 5),
    ]
    assert rows[1]["auc1"] == pytest.approx(100)
    assert 50 < rows[0]["auc1"] < 70  # 21 of 36 pairs are in the larger model
    assert (rows[2]["cpu_s"], rows[2]["exit_code"]) == (4.0, 0)
    assert json.loads((tmp_path / "r.json").read_text())["rows"] == rows


def test_names_and_their_order_do_not_tell_sets_apart(tmp_path: Path) -> None:
    names = [f"photo_{i}.jpg" for i in range(12)]
    for name in ("first", "second"):
        write_set(tmp_path / name, names)
    sets = [one_folder.PhotoSet(name, tmp_path / name / "images", None) for name in ("first", "second")]

    origin = one_folder.mixed(sets, {}, tmp_path / "mixed")

    assert len(origin) == len(list((tmp_path / "mixed").iterdir())) == 24
    order = [of for of, _ in origin.values()]
    assert sum(a != b for a, b in pairwise(order)) > 4


def test_a_set_to_thin_that_is_not_there_is_named(tmp_path: Path, monkeypatch) -> None:
    write_set(tmp_path / "first", ["0.jpg"])
    words = ["first", "--data", tmp_path, "--cache", tmp_path / "cache", "--thin", "frist=2"]
    monkeypatch.setattr(sys, "argv", ["one_folder.py", *map(str, words)])

    with pytest.raises(SystemExit, match="--thin: frist is none of the sets"):
        one_folder.main()
