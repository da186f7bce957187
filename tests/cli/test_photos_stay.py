"""No command writes to, moves or deletes anything below the folders of photos."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sfm.cli import main

from .command import sfm_command

QUICK = ("-q", "run.threads=2", "sift.max_num_features=2000")
COMMANDS = {
    "run": [("run", "{photos}/old", "-o", "{new}", *QUICK)],
    "retrieve": [
        ("retrieve", "{photos}/old", "-o", "{new}", *QUICK),
        ("retrieve", "{photos}/old", "-o", "{copy}", "--query", "{photos}/new/photo_07.jpg", *QUICK),
    ],
    "match": [("match", "{photos}/old", "-o", "{new}", *QUICK)],
    "map": [("map", "{out}/database.db", "-o", "{new}", "-q", "--threads", "2")],
    "extend": [("extend", "{out}", "{photos}/new", "-o", "{new}", "-q")],
    "localize": [
        ("localize", "{out}", "{photos}/new", "-o", "{new}", "-q"),
        ("localize", "--reference", "{photos}/old/photo_01.jpg", "--query", "{photos}/new/photo_07.jpg"),
    ],
    "merge": [("merge", "{out}", "{out}/sparse/0", "-o", "{new}")],
    "align": [("align", "{out}", "--to", "{out}/sparse/0", "-o", "{new}")],
    "export": [
        *(("export", "{copy}", "--to", to) for to in ("3dgs", "nerfstudio", "txt", "ply", "views")),
        ("export", "{copy}", "--to", "nerfstudio", "-d", "{new}", "--strip-gps"),
        ("export", "{copy}", "--to", "views", "--as", "mesh", "--frame", "first-camera", "--plain-cameras"),
    ],
    "dense": [("dense", "{copy}", "-q")],
    "explain": [("explain", "{out}", "photo_01.jpg")],
    "graph": [("graph", "{copy}")],
    "eval": [("eval", "{out}", "{gt}")],
    "config": [("config",)],
    "doctor": [("doctor",)],
    "weights": [("weights",)],
}
"""Of each command, ways to call it on the photos."""
SLOW = {"run", "extend", "localize", "match", "retrieve"}
MAY_FAIL = {"views": 4, "dense": 4, "doctor": 1, "--reference": 4}
"""Exit codes of what lacks something here: network weights."""

State = dict[str, tuple[int, int, str]]


def state(folder: Path) -> State:
    """Of every file, link and folder: mode, time, and content or target."""
    return {str(path): _described(path) for path in sorted([folder, *folder.rglob("*")])}


def _described(path: Path) -> tuple[int, int, str]:
    status = path.lstat()
    if path.is_symlink():
        content = os.readlink(path)
    elif path.is_file():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    else:
        content = ",".join(sorted(entry.name for entry in path.iterdir()))
    return status.st_mode, status.st_mtime_ns, content


@pytest.fixture(scope="module")
def photos(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`old` and `new`: among them a hard link, a link to a file elsewhere, one that COLMAP cannot read, and a
    note; with `elsewhere`, where the links lead."""
    folder = tmp_path_factory.mktemp("photos")
    elsewhere = folder / "elsewhere"
    for name in ("old/day 1", "new", "elsewhere", "old/empty"):
        (folder / name).mkdir(parents=True)
    files = sorted((demo_data / "images").iterdir())[:9]
    for number, path in enumerate(files):
        shutil.copy(path, folder / ("new" if number >= 7 else "old") / path.name)
    old = folder / "old"
    (old / files[0].name).rename(old / "day 1" / files[0].name)
    os.link(old / files[1].name, elsewhere / "hard link.jpg")
    (old / files[2].name).rename(elsewhere / files[2].name)
    (old / files[2].name).symlink_to(elsewhere / files[2].name)
    with Image.open(old / files[3].name) as picture:
        picture.save(old / "photo_03.webp", lossless=True)
    (old / files[3].name).unlink()
    (old / "note.txt").write_text("which day was that?")
    return folder


@pytest.fixture(scope="module")
def out(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a run over the old photos, after which they are as before."""
    before, folder = state(photos), tmp_path_factory.mktemp("run") / "out"

    done = sfm_command("run", photos / "old", "-o", folder, *QUICK)

    assert done.exit_code == 0, done.stderr
    assert state(photos) == before
    return folder


def test_every_command_is_among_these() -> None:
    assert COMMANDS.keys() == main.commands.keys()


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, id=" ".join(words[:4]), marks=[pytest.mark.slow] if name in SLOW else [])
        for name, calls in COMMANDS.items()
        for words in calls
    ],
)
def test_a_command_leaves_the_photos_as_they_were(
    words: tuple[str, ...], photos: Path, out: Path, demo_data: Path, tmp_path: Path
) -> None:
    before = state(photos)
    copy = tmp_path / "copy"
    if any("{copy}" in word for word in words):
        shutil.copytree(out, copy, symlinks=True)
    places = {
        "photos": photos,
        "out": out,
        "copy": copy,
        "new": tmp_path / "new",
        "gt": demo_data / "gt.json",
    }

    done = sfm_command(*(word.format(**places) for word in words))

    allowed = {0, *(code for word, code in MAY_FAIL.items() if word in words)}
    assert done.exit_code in allowed, done.stderr
    assert state(photos) == before


def test_an_output_among_the_photos_adds_its_own_folder_alone(photos: Path, out: Path) -> None:
    """A finished OUT there is exported, renewed and drawn; the photos around it stay."""
    inside = photos / "old" / "out"
    before = state(photos)
    shutil.copytree(out, inside, symlinks=True)
    try:
        for words in (
            ("export", inside, "--to", "3dgs"),
            ("export", inside, "--to", "3dgs"),
            ("graph", inside),
        ):
            done = sfm_command(*words)
            assert done.exit_code == 0, done.stderr
        after = {path: entry for path, entry in state(photos).items() if not path.startswith(str(inside))}
        folder = str(photos / "old")
        assert {k: v for k, v in after.items() if k != folder} == {
            k: v for k, v in before.items() if k != folder
        }
    finally:
        shutil.rmtree(inside)


@pytest.mark.parametrize("command", ["run", "retrieve", "match"])
@pytest.mark.parametrize("linked", [False, True])
def test_photos_as_output_are_refused(photos: Path, tmp_path: Path, command: str, linked: bool) -> None:
    output = photos / "old"
    if linked:
        output = tmp_path / "link"
        output.symlink_to(photos / "old")
    before = state(photos)

    done = sfm_command(command, photos / "old", "-o", output, *QUICK)

    assert done.exit_code == 5
    assert state(photos) == before


@pytest.mark.parametrize(
    "words",
    [
        ("extend", "{out}", "{photos}/new", "-o", "{photos}/new", "-q"),
        ("extend", "{out}", "{photos}/new", "-o", "{photos}/old", "-q"),
        ("localize", "{out}", "{photos}/new", "-o", "{photos}/new", "-q"),
        ("merge", "{out}", "{out}/sparse/0", "-o", "{photos}/old"),
        ("align", "{out}", "--to", "{out}/sparse/0", "-o", "{photos}/old"),
        ("map", "{out}/database.db", "-o", "{photos}/old"),
        ("export", "{out}", "--to", "3dgs", "-d", "{photos}/old"),
        ("export", "{out}", "--to", "txt", "-d", "{out}/images"),
    ],
    ids=lambda words: f"{words[0]} {words[-1]}",
)
def test_results_never_go_where_photos_lie(photos: Path, out: Path, words: tuple[str, ...]) -> None:
    before, images = state(photos), state(out / "images")

    done = sfm_command(*(word.format(out=out, photos=photos) for word in words))

    assert done.exit_code == 5, done.output
    assert state(photos) == before
    assert state(out / "images") == images
