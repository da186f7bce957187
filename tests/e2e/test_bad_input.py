"""Bad input through the command: a message that names the thing, the documented exit code, no traceback."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import NUM_FEW, QUICK, Command


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, (done.returncode, done.stderr)
    error = done.stderr
    assert "Traceback" not in error
    assert "error:" in error.lower()
    for word in words:
        assert word in error


def skipped(out: Path) -> dict[str, str]:
    return {s["name"]: s["reason"] for s in json.loads((out / "run.json").read_text())["photos"]["skipped"]}


def test_a_folder_with_every_kind_of_broken_and_unusual_file_still_gives_a_model(
    few_photos: Path, tmp_path: Path, sfm_command: Command
) -> None:
    *good, last = sorted(few_photos.iterdir())
    Image.open(last).save(few_photos / "colmap cannot read it.webp", quality=95)
    last.unlink()
    whole = good[0].read_bytes()
    (few_photos / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (few_photos / "zero.jpg").write_bytes(b"")
    (few_photos / "text.jpg").write_text("not a photo")
    (few_photos / "twin.jpg").write_bytes(whole)
    Image.new("RGB", (1, 1)).save(few_photos / "dot.png")
    Image.fromarray(np.full((480, 640), 30000, np.uint16)).save(few_photos / "flat16.png")
    Image.open(good[1]).convert("CMYK").save(few_photos / "cmyk.jpg", quality=95)
    Image.open(good[2]).transpose(Image.Transpose.ROTATE_90).save(few_photos / "rotated.jpg", quality=95)

    done = sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK)

    run = json.loads((tmp_path / "out" / "run.json").read_text())
    registered = {o["name"] for o in run["outcomes"] if o["status"] == "registered"}
    assert done.returncode == 0, done.stderr
    assert {"truncated.jpg", "zero.jpg", "text.jpg", "twin.jpg", "dot.png"} <= set(skipped(tmp_path / "out"))
    assert {path.name for path in good} | {"cmyk.jpg", "rotated.jpg"} <= registered
    assert (tmp_path / "out" / "images" / "colmap cannot read it.webp.jpg").is_file()
    assert (few_photos / "colmap cannot read it.webp").exists()
    assert sfm_command("explain", tmp_path / "out", "truncated.jpg").returncode == 0


def test_odd_names_and_equal_names_in_subfolders(
    few_photos: Path, tmp_path: Path, sfm_command: Command
) -> None:
    good = sorted(few_photos.iterdir())
    (few_photos / "left").mkdir()
    (few_photos / "right").mkdir()
    names = [
        "my photo.jpg",
        "фото ü.jpg",
        "line\nbreak.jpg",
        "left/same.jpg",
        "right/same.jpg",
        'q"uote<b>.jpg',
    ]
    for path, name in zip(good, names, strict=True):
        path.rename(few_photos / name)

    done = sfm_command("run", few_photos, "-o", tmp_path / "out", *QUICK, "export.report=true")

    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["photos"]["registered"] == len(good)
    assert {"my photo.jpg", "фото ü.jpg", "left/same.jpg", "right/same.jpg"} <= {
        o["name"] for o in run["outcomes"]
    }
    assert "q&#34;uote&lt;b&gt;" in (tmp_path / "out" / "report.html").read_text()


def test_an_output_of_other_photos_is_refused(few_photos: Path, tmp_path: Path, sfm_command: Command) -> None:
    other = tmp_path / "other"
    shutil.copytree(few_photos, other)
    sfm_command("retrieve", few_photos, "-o", tmp_path / "out", *QUICK)
    pairs = (tmp_path / "out" / "proposed_pairs.txt").read_text().splitlines()
    before = (tmp_path / "out" / "database.db").read_bytes()

    done = sfm_command("run", other, "-o", tmp_path / "out")

    assert_refused(done, 5, "holds the reconstruction of", str(few_photos))
    assert (tmp_path / "out" / "database.db").read_bytes() == before
    assert len(pairs) == NUM_FEW * (NUM_FEW - 1) / 2


def test_photos_that_share_nothing_end_with_6_and_a_report(tmp_path: Path, sfm_command: Command) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        coarse = rng.integers(0, 255, (30, 40), np.uint8)
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(
            tmp_path / "photos" / f"{number}.png"
        )

    done = sfm_command("run", tmp_path / "photos", "-o", tmp_path / "out", "--threads", "1")

    assert_refused(done, 6, "No model", "report.html")
    assert (tmp_path / "out" / "report.html").is_file()


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own at `folder` while the test runs."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    yield from mounted(tmp_path / "disk", "size=1m")


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that refuses to be written."""
    yield from mounted(tmp_path / "disk", "ro,size=1m")


def test_a_read_only_disk(few_photos: Path, read_only_disk: Path, sfm_command: Command) -> None:
    assert_refused(sfm_command("run", few_photos, "-o", read_only_disk / "out"), 5, "read-only")


def test_a_full_disk(few_photos: Path, tiny_disk: Path, sfm_process: Command) -> None:
    done = sfm_process("run", few_photos, "-o", tiny_disk / "out", *QUICK)

    assert_refused(done, 5, "full")
