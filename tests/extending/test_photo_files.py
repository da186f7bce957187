"""Photos of a model that is given are looked for below the folder of photos alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfm.errors import InputError
from sfm.reference.photo_files import photos_in, workspace_photos


@pytest.mark.parametrize("name", ["../photos/a.jpg", "{photos}/a.jpg"])
def test_a_name_that_leads_elsewhere_is_told(tmp_path: Path, name: str) -> None:
    photos = tmp_path / "photos"
    (tmp_path / "out" / "images").mkdir(parents=True)
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a photo")
    name = name.format(photos=photos)

    with pytest.raises(InputError, match="cannot be used as the name of a photo"):
        photos_in(photos, [name])
    with pytest.raises(InputError, match="cannot be used as the name of a photo"):
        workspace_photos(tmp_path / "out", [f"../{name}"])


def test_photos_in_linked_folders_are_found(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").write_bytes(b"a photo")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "day1").symlink_to(tmp_path / "disk")

    (found,) = photos_in(tmp_path / "photos", ["day1/a.jpg"])

    assert found.path == tmp_path / "photos" / "day1" / "a.jpg"
