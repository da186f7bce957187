"""What ingest leaves in the output, and finds there again."""

import errno
import json
import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfm.config.schema import ImagesConfig
from sfm.errors import WorkspaceError
from sfm.ingest import ingest, thumbnail_path
from sfm.ingest.discover import FoundFile, found_file
from sfm.types import Collection
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress


def spoil(path) -> None:
    """Replace the content without any trace in size and time."""
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_unchanged_photos_are_not_decoded_again(output, photos, make_photo) -> None:
    paths = [make_photo(name) for name in ("a.jpg", "b.png", "c.webp")]
    first = output.ingest(photos)
    for path in paths:
        spoil(path)

    assert output.ingest(photos) == first


def test_a_changed_photo_is_decoded_again(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    first = output.ingest(photos)

    make_photo("b.jpg", size=(300, 200))
    second = output.ingest(photos)

    assert second.photos[0] == first.photos[0]
    assert (second.photos[1].width, second.photos[1].height) == (300, 200)


def test_known_bad_files_are_remembered_with_their_reason(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    (photos / "bad.jpg").write_text("text")

    assert output.ingest(photos).skipped == output.ingest(photos).skipped != ()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"photos": 3}', b"\xff\xfe", None])
def test_a_damaged_manifest_is_rebuilt(output, photos, make_photo, damage) -> None:
    make_photo("a.jpg")
    make_photo("b.webp")
    first = output.ingest(photos)
    manifest = output.cache / "images.json"
    if damage is None:
        content = json.loads(manifest.read_text())
        content["photos"]["a.jpg"][2].pop("sha256")
        damage = json.dumps(content).encode()
    manifest.write_bytes(damage)

    assert output.ingest(photos) == first


def test_lost_thumbnails_and_copies_are_made_again(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.webp")
    first = output.ingest(photos)
    for photo in first.photos:
        thumbnail_path(output.cache, photo).unlink()
    (output.images / "b.webp.jpg").unlink()
    (output.images / "a.jpg").unlink()

    second = output.ingest(photos)

    assert second == first
    assert all(thumbnail_path(output.cache, photo).is_file() for photo in second.photos)
    assert all((output.images / name).is_file() for name in second.names)


def test_another_thumbnail_size_makes_new_thumbnails(output, photos, make_photo) -> None:
    make_photo("a.jpg", size=(400, 200))
    make_photo("b.jpg", size=(400, 200))
    output.ingest(photos)

    collection = output.ingest(photos, thumbnail_size=100)

    with Image.open(thumbnail_path(output.cache, collection.photos[0])) as thumbnail:
        assert thumbnail.size == (100, 50)


def test_a_renamed_photo_leaves_no_entry_behind(output, photos, make_photo) -> None:
    for name in ("sub/a.jpg", "sub/b.webp", "c.jpg", "d.jpg"):
        make_photo(name)
    output.ingest(photos)

    (photos / "sub").rename(photos / "moved")
    output.ingest(photos)

    entries = sorted(p.relative_to(output.images).as_posix() for p in output.images.rglob("*"))
    assert entries == ["c.jpg", "d.jpg", "moved", "moved/a.jpg", "moved/b.webp.jpg"]


def test_foreign_files_in_the_folder_survive(output, photos, make_photo, tmp_path) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    gone = make_photo("gone.jpg")
    output.ingest(photos)
    (output.images / "mine.txt").write_text("mine")
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(gone.read_bytes())
    (output.images / "link.jpg").symlink_to(mine)
    gone.unlink()

    output.ingest(photos)

    assert sorted(p.name for p in output.images.iterdir()) == ["a.jpg", "b.jpg", "link.jpg", "mine.txt"]


def test_a_foreign_file_in_a_photos_place_is_not_overwritten(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    output.images.mkdir(parents=True)
    (output.images / "b.jpg").write_text("mine")

    with pytest.raises(WorkspaceError, match=r"b\.jpg was not put there by sfm"):
        output.ingest(photos)

    assert (output.images / "b.jpg").read_text() == "mine"


@pytest.mark.parametrize("place", ["images", "images/sub"])
def test_a_foreign_file_in_a_folders_place_is_not_overwritten(output, photos, make_photo, place) -> None:
    make_photo("sub/a.jpg")
    make_photo("sub/b.jpg")
    (output.root / place).parent.mkdir(parents=True)
    (output.root / place).write_text("mine")

    with pytest.raises(WorkspaceError, match=f"{place} was not put there by sfm"):
        output.ingest(photos)

    assert (output.root / place).read_text() == "mine"


def test_after_an_interruption_finished_photos_are_not_decoded_again(output, photos, make_photo) -> None:
    paths = [make_photo(f"{number}.jpg") for number in range(30)]

    with pytest.raises(KeyboardInterrupt):
        output.ingest(photos, progress=InterruptedProgress(after=20))
    known = json.loads((output.cache / "images.json").read_text())["photos"]
    for path in paths:
        if path.name in known:
            spoil(path)

    assert 20 <= len(known) < 30
    assert len(output.ingest(photos).photos) == 30


class InterruptedProgress:
    """Ctrl-C when so many photos are done."""

    def __init__(self, *, after: int) -> None:
        self._left = after + 1

    @contextmanager
    def task(self, title: str, total: int, *, unit: str = ""):
        yield self

    def advance(self, steps: int = 1) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("links", ["hard links only", "none"])
def test_where_links_are_impossible_photos_are_copied(output, photos, make_photo, monkeypatch, links) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "not on this file system")

    monkeypatch.setattr(os, "symlink", refuse)
    if links == "none":
        monkeypatch.setattr(os, "link", refuse)
    paths = [make_photo("a.jpg"), make_photo("sub/b.jpg"), make_photo("c.webp")]
    first = output.ingest(photos)

    assert (output.images / "a.jpg").read_bytes() == paths[0].read_bytes()
    assert not (output.images / "a.jpg").is_symlink()
    assert output.ingest(photos) == first

    paths[1].unlink()
    make_photo("a.jpg", size=(300, 200))
    output.ingest(photos)

    assert sorted(p.name for p in output.images.rglob("*")) == ["a.jpg", "c.webp.jpg"]
    assert (output.images / "a.jpg").read_bytes() == paths[0].read_bytes()


def test_a_full_disk_is_told_and_the_next_run_goes_on(output, photos, make_photo, monkeypatch) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WorkspaceError, match="disk is full"):
            output.ingest(photos)

    assert output.ingest(photos).names == ("a.jpg", "b.jpg")
    assert not [p for p in output.cache.rglob(".*") if p.is_file()], "scratch files were left"


def test_a_picture_that_somebody_put_in_the_place_of_a_link_is_kept(
    output, photos, make_photo, caplog
) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        make_photo(name)
    output.ingest(photos)
    for name in ("a.jpg", "b.jpg"):
        (output.images / name).unlink()
        (output.images / name).write_bytes(b"retouched")
    (photos / "b.jpg").unlink()

    output.ingest(photos)
    output.ingest(photos)

    assert (output.images / "a.jpg").is_symlink()
    assert {p.name for p in output.images.iterdir()} == {"a.jpg", "a.jpg.kept", "b.jpg.kept", "c.jpg"}
    assert (output.images / "a.jpg.kept").read_bytes() == b"retouched"
    assert (output.images / "b.jpg.kept").read_bytes() == b"retouched"
    assert "kept as a.jpg.kept" in caplog.text


def photo(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def run(root: Path, out: Path, earlier: list[FoundFile]) -> Collection:
    return ingest(
        root,
        images_dir=out / "images",
        cache_dir=out / "cache",
        config=ImagesConfig(),
        threads=1,
        events=NullEvents(),
        progress=SilentProgress(),
        min_photos=0,
        earlier=earlier,
    )


@pytest.fixture
def earlier(tmp_path: Path) -> list[FoundFile]:
    return [
        found_file("a.png", photo(tmp_path / "old" / "a.png", 1)),
        found_file("b.png", photo(tmp_path / "old" / "b.png", 2)),
        found_file("copy.png", photo(tmp_path / "old" / "copy.png", 1)),
    ]


def test_a_name_that_is_taken_gets_the_folder_before_it(tmp_path: Path, earlier: list[FoundFile]) -> None:
    photo(tmp_path / "trip" / "a.png", 3)
    photo(tmp_path / "trip" / "c.png", 4)

    found = run(tmp_path / "trip", tmp_path / "out", earlier)

    assert found.names == ("a.png", "b.png", "c.png", "copy.png", "trip/a.png")
    assert (tmp_path / "out" / "images" / "a.png").resolve() == tmp_path / "old" / "a.png"
    assert (tmp_path / "out" / "images" / "trip" / "a.png").resolve() == tmp_path / "trip" / "a.png"


def test_equal_photos_among_the_earlier_ones_stay_and_new_ones_do_not(
    tmp_path: Path, earlier: list[FoundFile]
) -> None:
    photo(tmp_path / "trip" / "again.png", 2)

    found = run(tmp_path / "trip", tmp_path / "out", earlier)

    assert found.names == ("a.png", "b.png", "copy.png")
    assert {s.name: s.reason for s in found.skipped} == {"again.png": "same content as b.png"}


def test_the_folder_may_hold_the_earlier_photos_too(tmp_path: Path, earlier: list[FoundFile]) -> None:
    photo(tmp_path / "old" / "new.png", 5)

    found = run(tmp_path / "old", tmp_path / "out", earlier)

    assert found.names == ("a.png", "b.png", "copy.png", "new.png")
    assert not found.skipped


@pytest.mark.parametrize("part", ["images", "sparse"])
def test_an_output_with_a_link_to_the_earlier_ones_is_refused(
    tmp_path: Path, earlier: list[FoundFile], part: str
) -> None:
    photo(tmp_path / "trip" / "c.png", 4)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / part).symlink_to(tmp_path / "old")

    with pytest.raises(WorkspaceError, match=rf"{part} is a link to .*old"):
        run(tmp_path / "trip", tmp_path / "out", earlier)

    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == ["a.png", "b.png", "copy.png"]
