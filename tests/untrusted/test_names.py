"""Names from outside stay below their root, or are refused with a reason."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.untrusted.names import UnusableNameError, checked_name, path_below, place_below

REFUSED = {
    "": "it is empty",
    "/etc/passwd": "it is absolute",
    "//server/share/a.jpg": "it is absolute",
    r"\\server\share\a.jpg": "it is absolute",
    r"\a.jpg": "it is absolute",
    "C:/photos/a.jpg": "it is absolute",
    r"c:\photos\a.jpg": "it is absolute",
    "../a.jpg": "leads out of its folder",
    "day1/../../a.jpg": "leads out of its folder",
    r"..\a.jpg": "leads out of its folder",
    r"day1\..\..\a.jpg": "leads out of its folder",
    "..": "leads out of its folder",
    "a\0.jpg": "NUL",
    "ü" * 126 + ".jpg": "has 256 bytes",
    "day1/" + "x" * 256: "has 256 bytes",
}
KEPT = ["a.jpg", "day 1/ü.jpg", r"day1\a.jpg", "..a.jpg", "a..b/c...jpg", "12:30.jpg", "x" * 255, "./a.jpg"]


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_what_leads_elsewhere_is_refused_with_the_reason(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(UnusableNameError, match=why) as caught:
        path_below(tmp_path, name)

    assert repr(name[:80])[1:-1] in str(caught.value)
    assert len(str(caught.value)) < 250


def test_the_document_that_holds_the_name_is_told() -> None:
    with pytest.raises(UnusableNameError, match=r"gt\.json: '\.\./a'"):
        checked_name("../a", where=Path("gt.json"))


@pytest.mark.parametrize("name", KEPT)
def test_other_names_are_kept_to_the_letter(tmp_path: Path, name: str) -> None:
    assert checked_name(name) == name
    assert place_below(tmp_path, name) == tmp_path / name


@given(st.text(st.sampled_from("ab./\\:\0 "), max_size=12))
def test_whatever_passes_lies_below(name: str) -> None:
    root = Path("/root/folder")
    try:
        path = path_below(root, name)
    except UnusableNameError:
        return
    assert Path(os.path.normpath(path)).is_relative_to(root)


def test_nothing_is_written_through_a_folder_that_is_a_link(tmp_path: Path) -> None:
    out, photos = tmp_path / "out", tmp_path / "photos"
    (out / "plain").mkdir(parents=True)
    photos.mkdir()
    (out / "day1").symlink_to(photos)

    with pytest.raises(UnusableNameError, match="a link on the way"):
        place_below(out, "day1/a.jpg")

    assert place_below(out, "plain/a.jpg") == out / "plain" / "a.jpg"
    assert path_below(out, "day1/a.jpg") == out / "day1" / "a.jpg"


def test_an_output_that_is_itself_a_link_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")

    assert place_below(tmp_path / "out", "day1/a.jpg") == tmp_path / "out" / "day1" / "a.jpg"
