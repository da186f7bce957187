"""Photos that come from elsewhere first keep their names, and none of them is dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfm.config.schema import ImagesConfig
from sfm.errors import WorkspaceError
from sfm.ingest import ingest
from sfm.ingest.discover import FoundFile, found_file
from sfm.types import Collection
from sfm.workspace.events import NullEvents
from sfm.workspace.progress import SilentProgress


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
