"""A photo folder that is missing or empty is named before anything else that a run would need."""

from pathlib import Path

import pytest

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
