"""A photo folder that is missing or empty is named before anything else that a run would need."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .command import sfm_command

ASKED = [("backend=mast3r",), ("--preset", "scene"), ("--preset", "mast3r-sfm"), ("backend=sift",)]


@pytest.mark.parametrize("options", ASKED)
@pytest.mark.parametrize("command", ["run", "match", "retrieve"])
def test_the_folder_is_named_before_weights(
    command: str, options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path / "no weights"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    out = tmp_path / "out"

    missing = sfm_command(command, tmp_path / "missing", "-o", out, *options)
    empty = sfm_command(command, tmp_path / "empty", "-o", out, *options)

    assert (missing.exit_code, empty.exit_code) == (3, 3)
    assert f"error: {tmp_path / 'missing'} does not exist" in missing.stderr
    assert f"error: no photos under {tmp_path / 'empty'}" in empty.stderr
    assert "weights" not in missing.stderr + empty.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("oneref-9", "there is no photo 9; the 3 photos are numbered 0 to 2"),
        ("complete-seq0", "mast3r_sfm_graph=complete-seq0 gives the 3 photos no pair"),
    ],
)
def test_a_graph_that_has_no_pair_is_named_instead_of_the_photos(
    graph: str, words: str, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (96, 128, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.png")
    options = ("backend=sift", "retrieval.mode=mast3r-sfm", f"retrieval.mast3r_sfm_graph={graph}")

    done = sfm_command("run", photos, "-o", tmp_path / "out", *options, "register.max_rounds=0")

    assert done.exit_code == 3
    assert words in done.stderr
    assert "overlap" not in done.stderr
