"""The output folder: refusals, the lock, and files that appear whole or not at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sfm.config.schema import Config, RegisterConfig
from sfm.errors import WorkspaceError
from sfm.files.atomic import atomic_folder
from sfm.workspace.sharing import Sharing
from sfm.workspace.workspace import Workspace, content_key


def open_once(out: Path, source: Path) -> None:
    with Workspace(out, source=source):
        pass


def write_half(folder: Path) -> None:
    with atomic_folder(folder) as scratch:
        (scratch / "model").write_text("half")
        raise KeyboardInterrupt


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")

    with pytest.raises(WorkspaceError, match=r"not empty.*thesis\.txt"):
        open_once(out, tmp_path / "photos")

    assert [p.name for p in out.iterdir()] == ["thesis.txt"]


def test_a_workspace_of_other_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with Workspace(tmp_path / "out", source=tmp_path / "a") as space:
        space.database.write_bytes(b"")

    with pytest.raises(WorkspaceError, match="holds the reconstruction of"):
        open_once(tmp_path / "out", tmp_path / "b")


def test_a_folder_that_a_mistyped_command_left_is_free(tmp_path: Path) -> None:
    open_once(tmp_path / "out", tmp_path / "mistyped")

    open_once(tmp_path / "out", tmp_path / "photos")


def test_a_workspace_without_its_cache_is_recognised_by_its_photos(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"photo")
    with Workspace(out, source=photos) as space:
        space.database.write_bytes(b"")
        space.run_json.write_text("{}")
        space.images.mkdir()
        (space.images / "a.jpg").symlink_to(photos / "a.jpg")
    shutil.rmtree(out / "cache")

    with pytest.raises(WorkspaceError, match="not made by sfm"):
        open_once(out, tmp_path / "other")
    open_once(out, photos)


def test_a_dangling_link_as_output_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")

    with pytest.raises(WorkspaceError, match="cannot be used as output"):
        open_once(tmp_path / "out", tmp_path / "photos")


def test_a_run_that_fails_leaves_the_events_of_the_last(tmp_path: Path) -> None:
    with Workspace(tmp_path / "out", source=tmp_path) as space:
        space.events.emit("ingest", "photo", name="a.jpg")
        Sharing(space, Config()).publish_events()

    with Workspace(tmp_path / "out", source=tmp_path) as space:
        space.events.emit("ingest", "photo", name="b.jpg")

    assert "a.jpg" in (tmp_path / "out" / "events.jsonl").read_text()


def test_photos_that_moved_together_are_recognised(tmp_path: Path) -> None:
    before, after, out = tmp_path / "before", tmp_path / "after", tmp_path / "out"
    before.mkdir()
    (before / "a.jpg").write_bytes(b"photo")
    with Workspace(out, source=before) as space:
        space.database.write_bytes(b"")
        space.images.mkdir()
        (space.images / "a.jpg").symlink_to(before / "a.jpg")
    before.rename(after)

    open_once(out, after)
    open_once(out, after)


def test_a_file_as_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(WorkspaceError, match="is a file"):
        open_once(tmp_path / "out", tmp_path / "photos")


def test_the_photo_folder_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="is the input itself"):
        open_once(tmp_path, tmp_path)


def test_a_second_process_is_told_that_the_folder_is_in_use(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from sfm.workspace.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1]), source=Path(sys.argv[2])): pass"
    )
    with Workspace(tmp_path / "out", source=tmp_path / "photos"):
        child = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "out"), str(tmp_path / "photos")],
            capture_output=True,
            text=True,
            check=False,
        )

    assert "in use by another sfm process" in child.stderr
    open_once(tmp_path / "out", tmp_path / "photos")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; needs an ordinary user")
def test_a_read_only_disk_is_an_error_in_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)

    with pytest.raises(WorkspaceError, match="permission denied"):
        open_once(tmp_path / "out", tmp_path / "photos")


def test_a_damaged_marker_is_named(tmp_path: Path) -> None:
    open_once(tmp_path / "out", tmp_path)
    (tmp_path / "out" / "cache" / "workspace.json").write_text("{")

    with pytest.raises(WorkspaceError, match=r"workspace\.json:1: not valid JSON"):
        open_once(tmp_path / "out", tmp_path)


@pytest.mark.parametrize("marker", ['{"format": 1}', '{"format": 1, "source": null}'])
def test_a_marker_that_does_not_name_the_photos_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / "out" / "cache").mkdir(parents=True)
    (tmp_path / "out" / "cache" / "workspace.json").write_text(marker)
    (tmp_path / "out" / "run.json").write_text("{}")

    with pytest.raises(WorkspaceError, match=r"workspace\.json is damaged"):
        Workspace(tmp_path / "out", source=tmp_path / "photos").__enter__()


def test_a_failed_folder_leaves_the_earlier_one(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "sparse") as scratch:
        (scratch / "model").write_text("first")

    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "sparse")

    assert (tmp_path / "sparse" / "model").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["sparse"]


def test_hidden_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".sparse.backup01").mkdir()
    (tmp_path / ".sparse.0123456789abcdef.sfm-scratch").mkdir()

    with atomic_folder(tmp_path / "sparse"):
        pass

    assert sorted(p.name for p in tmp_path.iterdir()) == [".sparse.backup01", "sparse"]


def test_keys_depend_on_every_input() -> None:
    base = content_key("register", 1, RegisterConfig(), ["a", "b"])

    assert base == content_key("register", 1, RegisterConfig(), ["a", "b"])
    assert base != content_key("register", 2, RegisterConfig(), ["a", "b"])
    assert base != content_key("register", 1, RegisterConfig(max_rounds=3), ["a", "b"])
    assert base != content_key("register", 1, RegisterConfig(), ["a", "c"])
