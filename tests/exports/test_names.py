"""Flat names stay apart whatever the photos are called."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sfm.exports.names import flat_names


def test_folders_dots_and_spaces_are_flattened():
    names = flat_names(["a/b c.v1.JPG", "plain.jpeg", "scan.tif"])

    assert names == {"a/b c.v1.JPG": "a__b_c_v1.jpg", "plain.jpeg": "plain.jpg", "scan.tif": "scan.png"}


def test_names_that_differ_only_by_folder_extension_or_case_stay_apart():
    names = flat_names(["a/1.jpg", "a__1.jpg", "A__1.png", "ä/1.jpg"])

    assert len({name.split(".")[0].casefold() for name in names.values()}) == 4


def test_overlong_names_are_cut_and_stay_apart():
    folder = "/".join(["a long name of a folder" * 8] * 3)

    flat = flat_names([f"{folder}/{number}.jpg" for number in range(3)])

    assert len(set(flat.values())) == 3
    assert all(len(name) <= 210 and name.startswith("a_long_name") for name in flat.values())
    assert flat == flat_names([f"{folder}/{number}.jpg" for number in range(3)])


@given(st.sets(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12)))
def test_every_name_is_plain_and_unique_up_to_its_first_dot(names):
    flat = flat_names(names)

    assert flat.keys() == names
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.(jpg|png)", name) for name in flat.values())
    assert len({name.split(".")[0].casefold() for name in flat.values()}) == len(names)
