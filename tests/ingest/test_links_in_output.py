"""Links that lie in the output already lead to nothing that is written."""

import shutil

import pytest

from sfm.config.schema import ImagesConfig
from sfm.errors import InputError, WorkspaceError
from sfm.ingest import ingest
from sfm.ingest.discover import found_file
from sfm.workspace.progress import SilentProgress
from sfm.workspace.workspace import Workspace


def state(folder) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("where", [".", "day1", ".."])
def test_images_that_are_a_link_to_the_photos_are_refused(output, photos, make_photo, where) -> None:
    make_photo("day1/a.webp")
    make_photo("day1/b.jpg")
    before = state(photos)
    output.root.mkdir()
    output.images.symlink_to(photos / where)

    with pytest.raises((InputError, WorkspaceError), match=r"is a link to|is the output folder itself"):
        output.ingest(photos / "day1" if where == "." else photos)

    assert state(photos) == before


def test_images_that_become_a_link_to_other_photos_leave_them_alone(output, photos, make_photo) -> None:
    for name in ("a.jpg", "b.jpg", "../mine/a.jpg", "../mine/b.jpg", "../mine/c.jpg"):
        make_photo(name)
    output.ingest(photos)
    mine = photos.parent / "mine"
    before = state(mine)
    shutil.rmtree(output.images)
    output.images.symlink_to(mine)

    with pytest.raises(WorkspaceError, match=r"images is a link to .*mine, which holds files .*\(a\.jpg\)"):
        output.ingest(photos)

    assert state(mine) == before


def test_images_on_another_disk_are_used_again(output, photos, make_photo) -> None:
    for name in ("a.jpg", "b.webp"):
        make_photo(name)
    output.ingest(photos)
    disk = photos.parent / "disk"
    output.images.rename(disk)
    output.images.symlink_to(disk)

    assert output.ingest(photos).names == ("a.jpg", "b.webp.jpg")


def test_a_folder_of_images_that_is_a_link_to_photos_gets_nothing(output, photos, make_photo) -> None:
    make_photo("day1/a.webp")
    make_photo("day1/b.jpg")
    make_photo("c.jpg")
    make_photo("d.jpg")
    before = state(photos)
    output.images.mkdir(parents=True)
    (output.images / "day1").symlink_to(photos / "day1")

    collection = output.ingest(photos)

    assert state(photos) == before
    assert collection.names == ("c.jpg", "d.jpg")
    assert {skipped.name for skipped in collection.skipped} == {"day1/a.webp", "day1/b.jpg"}
    assert all("a link on the way" in skipped.reason for skipped in collection.skipped)


def test_a_photo_whose_name_leads_out_is_passed_over_with_the_reason(output, photos, make_photo) -> None:
    paths = [make_photo(f"{number}.jpg") for number in range(3)]
    before = state(photos)
    names = ["a.jpg", "b.jpg", f"../../{photos.name}/2.jpg"]

    collection = ingest(
        photos,
        images_dir=output.images,
        cache_dir=output.cache,
        config=ImagesConfig(),
        threads=1,
        events=output,
        progress=SilentProgress(),
        earlier=[found_file(name, path) for name, path in zip(names, paths, strict=True)],
    )

    assert collection.names == ("a.jpg", "b.jpg")
    assert "leads out of its folder" in collection.skipped[0].reason
    assert state(photos) == before
    assert not any(path.is_symlink() for path in photos.iterdir())


@pytest.mark.parametrize("name", ["database.db", "cache/lock", "cache/events.finished", ".points.ply.new"])
def test_a_file_of_the_output_that_is_a_link_is_not_written_through(tmp_path, name) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"years of work")
    (tmp_path / "photos").mkdir()
    place = tmp_path / "out" / name
    place.parent.mkdir(parents=True)
    place.symlink_to(precious)

    with (
        pytest.raises(WorkspaceError, match=r"is a link to .*precious"),
        Workspace(tmp_path / "out", source=tmp_path / "photos"),
    ):
        pass

    assert precious.read_bytes() == b"years of work"


def test_a_folder_of_the_cache_that_is_a_link_is_not_cleaned(output, photos, make_photo, tmp_path) -> None:
    for name in ("a.jpg", "b.jpg"):
        make_photo(name)
    make_photo("../masks/a.jpg.png", mode="1")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_bytes(b"years of work")
    output.cache.mkdir(parents=True)
    (output.cache / "masks").symlink_to(tmp_path / "thesis")

    with pytest.raises(WorkspaceError, match=r"masks is a link to .*thesis"):
        output.ingest(photos, masks=str(tmp_path / "masks"))

    assert (tmp_path / "thesis" / "text").read_bytes() == b"years of work"


def test_an_output_on_another_disk_is_used(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "fast").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cache").symlink_to(tmp_path / "fast")

    with Workspace(tmp_path / "out", source=tmp_path / "photos"):
        pass

    assert (tmp_path / "fast" / "workspace.json").is_file()


def test_an_output_that_is_a_link_to_the_photos_is_refused(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "photos")

    with (
        pytest.raises(WorkspaceError, match="is the input itself"),
        Workspace(tmp_path / "out", source=tmp_path / "photos"),
    ):
        pass

    assert list((tmp_path / "photos").iterdir()) == []
