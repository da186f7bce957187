"""What interrupts a run ends it in order; what a killed one leaves is gone with the next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sfm.files.atomic import atomic_write_bytes
from sfm.files.scratch import scratch_folder
from sfm.workspace import interruption
from sfm.workspace.interruption import interruptible
from sfm.workspace.workspace import Workspace


class Careless:
    """Its destructor is where the signal arrives; Python prints what is raised there and goes on."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        sum(range(1000))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_block(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_dropped_signal_is_raised_at_the_next_check(number: signal.Signals) -> None:
    with interruptible():
        Careless(number)

        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_nothing_is_raised_without_a_signal_nor_after_the_block() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGINT)

    interruption.check()
    with interruptible():
        interruption.check()

    assert signal.getsignal(signal.SIGINT) is before


def test_the_first_signal_is_answered_at_once_and_only_once() -> None:
    answers: list[str] = []

    with interruptible(lambda: answers.append("stopping")):
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)

    assert answers == ["stopping"]


ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import io, os, signal, sys
from pathlib import Path
from sfm.ingest.place import link_photo
from sfm.files.scratch import scratch_folder
from sfm.files.atomic import atomic_folder, atomic_write_bytes
from sfm.workspace.workspace import Workspace

out, photo, where = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with Workspace(out, source=photo.parent) as space:
    (space.images / "deep").mkdir(parents=True)
    if where == "thumbnail":
        os.replace = die
        atomic_write_bytes(space.cache / "thumbs" / "a.jpg", b"picture")
    if where == "link":
        os.replace = die
        link_photo(photo, space.images / "deep" / "a.jpg", owned=False)
    if where == "models":
        with atomic_folder(space.sparse) as folder:
            (folder / "cameras.bin").write_bytes(b"half")
            die()
    with scratch_folder() as folder:
        (folder / "database.db").write_bytes(b"half")
        die()
"""


@pytest.mark.parametrize("where", ["thumbnail", "link", "models", "folder"])
def test_a_killed_run_leaves_nothing_behind(tmp_path, where) -> None:
    photos, out, system = tmp_path / "photos", tmp_path / "out", tmp_path / "system"
    photos.mkdir()
    system.mkdir()
    (photos / "a.jpg").write_bytes(b"mine")
    command = [sys.executable, "-c", KILLED, out, photos / "a.jpg", where]

    killed = subprocess.run(command, cwd=ROOT, env={**os.environ, "TMPDIR": str(system)}, timeout=60)
    left = files_below(out)
    with Workspace(out, source=photos):
        now = files_below(out)

    assert killed.returncode == -signal.SIGKILL
    assert len(left) == len(now) + 1
    assert now == {"cache/lock", "cache/workspace.json"}
    assert not files_below(system)
    assert files_below(photos) == {"a.jpg"}


def files_below(folder: Path) -> set[str]:
    paths = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    return {path.relative_to(folder).as_posix() for path in paths}


def test_only_leftovers_of_ours_are_removed(tmp_path) -> None:
    kept = ["images/.hidden.jpg", "images/a.sfm-scratch", "cache/.thumb.jpg", ".git", "export/.x.sfm-scratch"]
    with Workspace(tmp_path / "out", source=tmp_path):
        for name in kept:
            atomic_write_bytes(tmp_path / "out" / name, b"theirs")

    with Workspace(tmp_path / "out", source=tmp_path):
        assert files_below(tmp_path / "out") >= set(kept)


def test_temporary_folders_lie_in_the_workspace_that_was_opened_last(tmp_path) -> None:
    with Workspace(tmp_path / "a", source=tmp_path) as outer:
        with Workspace(tmp_path / "b", source=tmp_path) as inner, scratch_folder() as folder:
            assert folder.parent == inner.scratch
        with scratch_folder() as folder:
            assert folder.parent == outer.scratch
        assert not folder.exists()
    with scratch_folder() as folder:
        assert not folder.is_relative_to(tmp_path / "a")
