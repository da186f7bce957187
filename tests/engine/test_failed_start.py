"""A run that fails at its start leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import sfm
from sfm.errors import InputError


@pytest.mark.parametrize("was_there", [False, True])
def test_a_run_without_usable_photos_leaves_no_folder_that_it_made(tmp_path: Path, was_there: bool) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    out = tmp_path / "out"
    if was_there:
        out.mkdir()

    with pytest.raises(InputError):
        sfm.run(tmp_path / "photos", output=out)

    assert out.exists() is was_there
