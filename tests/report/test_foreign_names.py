"""A report shows no picture of a file that its photos' names lead to elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sfm.report.thumbnails import thumbnail_uris


@pytest.mark.parametrize("name", ["{elsewhere}/private.jpg", "../elsewhere/private.jpg"])
def test_a_name_that_leads_elsewhere_has_no_thumbnail(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for folder in ("images", "elsewhere"):
        Image.new("RGB", (64, 64)).save(tmp_path / folder / "private.jpg")

    names = [name.format(elsewhere=tmp_path / "elsewhere"), "private.jpg"]
    elsewhere, own = thumbnail_uris(names, {}, tmp_path / "images")

    assert elsewhere == ""
    assert own.startswith("data:image/jpeg")
