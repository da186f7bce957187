"""Photos whose files vanish or change while a run goes on are told by name; the others are reconstructed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import sfm
from sfm.cli.summary import result_lines
from sfm.config.loading import load_config
from sfm.errors import InputError
from sfm.workspace.events import EventLog

QUICK = ("run.threads=2", "backend=sift", "sift.max_num_features=800", "sift.max_image_size=320")
NAME = "photo_02.jpg"


def at_end_of(stage: str, do: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let something happen to the user's files when a stage of the run ends."""
    write = EventLog.emit

    def emit(log: EventLog, where: str, event: str, **fields: object) -> None:
        write(log, where, event, **fields)
        if (where, event) == (stage, "stage"):
            do()

    monkeypatch.setattr(EventLog, "emit", emit)


def copied(demo_data: Path, folder: Path, count: int) -> Path:
    folder.mkdir()
    for path in sorted((demo_data / "images").iterdir())[:count]:
        shutil.copy(path, folder)
    return folder


def run(photos: Path, out: Path, *overrides: str) -> sfm.Result:
    return sfm.run(photos, output=out, config=load_config(overrides=[*QUICK, *overrides]))


def test_a_photo_removed_before_it_is_described_is_left_out_of_a_collection_that_is_searched(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = copied(demo_data, tmp_path / "photos", 6)
    at_end_of("ingest", lambda: (photos / NAME).unlink(missing_ok=True), monkeypatch)

    result = run(
        photos,
        tmp_path / "out",
        "export.report=false",
        "retrieval.exhaustive_max_photos=3",
        "retrieval.codebook_size=64",
    )

    lost = next(outcome for outcome in result.outcomes if outcome.name == NAME)
    assert (result.run.status, result.run.photos.readable) == ("ok", 5)
    assert (lost.status, lost.reason) == ("skipped", "its file was removed while the run went on")
    assert f"  {NAME}: {lost.reason}" in result_lines(result)


@pytest.mark.parametrize(
    ("stage", "change", "what"),
    [
        ("ingest", "shorten", "changed"),
        ("describe", "remove", "removed"),
        ("match", "shorten", "changed"),
        ("register", "remove", "removed"),
    ],
)
def test_whatever_becomes_of_a_file_the_run_goes_on_and_names_it(
    stage: str, change: str, what: str, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = copied(demo_data, tmp_path / "photos", 4)
    path = photos / NAME
    start = path.read_bytes()[:500]
    do = {"remove": lambda: path.unlink(missing_ok=True), "shorten": lambda: void(path.write_bytes(start))}
    at_end_of(stage, do[change], monkeypatch)

    result = run(photos, tmp_path / "out")

    reason = f"its file was {what} while the run went on"
    assert (result.run.status, result.run.failures) == ("ok", ())
    assert f"  {NAME}: {reason}" in result_lines(result)
    assert NAME in (tmp_path / "out" / "report.html").read_text()


def test_a_mask_that_vanishes_is_named(
    demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    photos = copied(demo_data, tmp_path / "photos", 3)
    masks = tmp_path / "masks"
    masks.mkdir()
    for photo in photos.iterdir():
        with Image.open(photo) as picture:
            Image.new("L", picture.size, 255).save(masks / f"{photo.name}.png")
    at_end_of("ingest", lambda: (masks / f"{NAME}.png").unlink(missing_ok=True), monkeypatch)

    with pytest.raises(InputError, match=rf"{NAME}\.png was removed while the run went on"):
        run(photos, tmp_path / "out", f"images.masks={masks}")


def void(_: object) -> None:
    """The value of an expression is of no interest."""
