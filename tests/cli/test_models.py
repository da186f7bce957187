"""The commands about models that are there already, as a user types them."""

import json
from pathlib import Path

import pytest

from tests.alignment import models

from .command import sfm_command


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a` and `b`, parts of one model in frames of their own, and `whole`."""
    folder = tmp_path_factory.mktemp("halves")
    truth = models.scene(folder).truth
    models.write(truth, folder / "whole")
    models.write(models.part(truth, range(1, 8)), folder / "a")
    second = models.part(truth, range(6, 13))
    second.transform(models.TURN)
    models.write(second, folder / "b")
    return folder


def test_merge_says_what_fits_and_where_the_model_is(halves: Path, tmp_path: Path) -> None:
    done = sfm_command("merge", halves / "a", halves / "b", "-o", tmp_path / "out")

    assert done.exit_code == 0, done.stderr
    assert "joined      12 photos" in done.stdout
    assert "in common   2 photos" in done.stdout
    assert f"model       {tmp_path / 'out' / 'sparse' / '0'}" in done.stdout


def test_align_says_how_well_it_fits(halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    done = sfm_command("align", halves / "b", "--to", halves / "whole", "-o", "out")

    assert done.exit_code == 0, done.stderr
    assert f"model       {tmp_path / 'out' / 'sparse' / '0'}" in done.stdout
    assert "aligned     by 7 of 7 photos, scale 0.4" in done.stdout
    assert json.loads((tmp_path / "out" / "alignment.json").read_text())["num_photos"] == 7


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("extend", "{}/a", "-o", "{}/out"), 2, "two paths are needed, not 1"),
        (("localize", "{}/a", "{}/b", "{}/c", "-o", "{}/out"), 2, "two paths are needed, not 3"),
        (("extend", "{}/a", "{}/b"), 2, "Give -o OUT"),
        (("extend", "{}/none", "{}/b", "-o", "{}/out"), 3, "does not exist"),
        (("localize", "{}/a", "{}/b", "-o", "{}/out"), 3, "--images FOLDER"),
        (
            ("align", "{}/a", "--to", "gps", "-o", "{}/out"),
            3,
            "0 of the model's 7 photos have a GPS position",
        ),
        (("align", "{}/a", "--to", "{}/none.json", "-o", "{}/out"), 3, "does not exist"),
        (("merge", "{}/a", "{}/none", "-o", "{}/out"), 3, "does not exist"),
        (("merge", "{}/a", "{}/b", "-o", "{}/a"), 5, "is not empty"),
    ],
)
def test_what_cannot_be_done_ends_with_its_exit_code(
    halves: Path, words: tuple[str, ...], exit_code: int, message: str
) -> None:
    done = sfm_command(*(word.format(halves) for word in words))

    assert (done.exit_code, message in done.stderr) == (exit_code, True), done.stderr
    assert not (halves / "out").exists()
