"""Folders as nobody would make them: what cannot be used is named, the others go on, nothing hangs."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sfm.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534


def reasons(collection) -> dict[str, str]:
    return {skipped.name: skipped.reason for skipped in collection.skipped}


def test_links_that_lead_nowhere_are_named(output, photos, two_good) -> None:
    (photos / "self.jpg").symlink_to(photos / "self.jpg")
    (photos / "self").symlink_to(photos / "self")
    (photos / "a.jpg").symlink_to(photos / "b.jpg")
    (photos / "b.jpg").symlink_to(photos / "a.jpg")
    (photos / "gone.jpg").symlink_to("nowhere.jpg")
    (photos / "gone").symlink_to("nowhere")
    (photos / "below.jpg").symlink_to("good1.jpg/file.jpg")

    collection = output.ingest(photos)

    assert collection.names == ("good1.jpg", "good2.png")
    loop = "a link that leads back to itself"
    assert reasons(collection) == {
        "a.jpg": loop,
        "b.jpg": loop,
        "self.jpg": loop,
        "gone.jpg": "a link to a file that is not there",
        "below.jpg": "file cannot be read: Not a directory",
    }


def test_links_to_folders_above_end(output, photos, two_good) -> None:
    (photos / "deep/deeper").mkdir(parents=True)
    for number, target in enumerate((photos, photos.parent, photos / "deep", Path("/"))):
        if target != Path("/"):
            (photos / "deep/deeper" / f"up{number}").symlink_to(target)

    assert output.ingest(photos).names == ("good1.jpg", "good2.png")


def test_pipes_sockets_and_devices_are_never_opened(output, photos, two_good, monkeypatch) -> None:
    import socket

    os.mkfifo(photos / "pipe.jpg")
    (photos / "endless.jpg").symlink_to("/dev/zero")
    (photos / "terminal.jpg").symlink_to("/dev/tty")
    (photos / "empty.jpg").symlink_to("/dev/null")
    monkeypatch.chdir(photos)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")

        collection = output.ingest(photos)

    assert collection.names == ("good1.jpg", "good2.png")
    assert set(reasons(collection)) == {"pipe.jpg", "endless.jpg", "terminal.jpg", "empty.jpg", "socket.jpg"}
    assert set(reasons(collection).values()) == {"not a regular file"}


def test_a_pipe_in_the_place_of_a_photo_is_not_waited_for(tmp_path) -> None:
    from sfm.ingest import load_rgb

    os.mkfifo(tmp_path / "a.jpg")

    with pytest.raises(OSError, match="not a regular file"):
        load_rgb(tmp_path / "a.jpg")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may enter; pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)
    shutil.rmtree(folder)


AS_NOBODY = f"""
import json, os, sys
from pathlib import Path
import pillow_heif
from sfm.config.schema import ImagesConfig
from sfm.errors import SfmError
from sfm.workspace.events import NullEvents
from sfm.ingest import ingest
from sfm.workspace.progress import SilentProgress

def tell(out):
    try:
        found = ingest(photos, images_dir=out / "images", cache_dir=out / "cache", config=config, threads=1,
                       events=NullEvents(), progress=SilentProgress())
        return {{"names": found.names, "skipped": {{s.name: s.reason for s in found.skipped}}}}
    except SfmError as error:
        return {{"error": type(error).__name__, "message": str(error)}}

out, photos, config = Path(sys.argv[1]), Path(sys.argv[2]), ImagesConfig(**json.loads(sys.argv[3]))
tell(out / "first")  # loads all that nobody might not be allowed to
if os.geteuid() == 0:
    os.setuid({NOBODY})
print(json.dumps(tell(out / "second")))
"""


def ingest_as_nobody(folder: Path, photos: Path, **config: str) -> dict[str, object]:
    """`ingest` by a user to whom permissions apply, as they don't to root."""
    out = folder / "out"
    out.mkdir()
    out.chmod(0o777)
    command = [sys.executable, "-c", AS_NOBODY, str(out), str(photos), json.dumps(config)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fill(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        Image.effect_noise((96, 64), 10 * (number + 1)).save(path)


def test_folders_and_files_without_permission_are_named(open_folder) -> None:
    photos = open_folder / "photos"
    photos.mkdir()
    fill(photos, "a.jpg", "b.jpg", "unsearchable/c.jpg", "unlistable/d.jpg", "closed/e.jpg", "secret.jpg")
    (photos / "into.jpg").symlink_to(photos / "closed/e.jpg")
    for name, mode in (
        ("unsearchable", 0o644),
        ("unlistable", 0o711),
        ("closed", 0o700),
        ("secret.jpg", 0o600),
    ):
        (photos / name).chmod(mode)

    found = ingest_as_nobody(open_folder, photos)

    assert found["names"] == ["a.jpg", "b.jpg"]
    assert found["skipped"] == {
        "unsearchable": "folder cannot be read: Permission denied",
        "unlistable": "folder cannot be read: Permission denied",
        "closed": "folder cannot be read: Permission denied",
        "into.jpg": "file cannot be read: Permission denied",
        "secret.jpg": "cannot be read: Permission denied",
    }


def test_masks_that_may_not_be_read_are_no_full_disk(open_folder) -> None:
    fill(open_folder / "photos", "a.jpg", "b.jpg")
    fill(open_folder / "masks", "a.jpg.png")
    (open_folder / "masks").chmod(0o644)

    found = ingest_as_nobody(open_folder, open_folder / "photos", masks=str(open_folder / "masks"))

    assert found["error"] == "InputError"
    assert "a.jpg.png cannot be read: Permission denied" in found["message"]


def test_a_photo_folder_that_is_a_link_to_itself_is_refused(output, tmp_path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(InputError, match="cannot be read"):
        output.ingest(tmp_path / "loop")


def test_names_of_every_kind_work(output, photos, make_photo) -> None:
    composed = unicodedata.normalize("NFC", "é.jpg")
    names = [
        " lead and trail .jpg",
        "'single' \"double\" `back`.jpg",
        "-o.jpg",
        "$(reboot);&|<>*?.jpg",
        "back\\slash.jpg",
        "a.jpg",
        "A.jpg",
        "A.JPG",
        composed,
        unicodedata.normalize("NFD", composed),
        "x" * 251 + ".jpg",
        "/".join(["d" * 200] * 8) + "/deep.jpg",
        "\u202egpj.exe.jpg",
    ]
    for name in names:
        make_photo(name, format="JPEG")
    for raw in (b"\xff\xfe.jpg", b"\x80" * 40 + b".jpg"):
        os.rename(make_photo("raw.jpg"), os.path.join(os.fsencode(photos), raw))

    collection = output.ingest(photos)

    assert len(collection.photos) == len(names) + 2, reasons(collection)
    assert set(names) <= set(collection.names)
    assert {"%FF%FE.jpg", "%80" * 40 + ".jpg"} <= set(collection.names)
    for photo in collection.photos:
        assert (output.images / photo.name).samefile(photo.source)
