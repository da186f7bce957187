"""Pairs from capture order, positions and lists."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair, Reason, RetrievalError
from retrieval.metadata_pairs import consecutive, exhaustive, from_pairs_file, sequential, spatial


def test_exhaustive_is_every_pair_once() -> None:
    edges = exhaustive(["c", "a", "b"])

    assert set(edges) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert {edge.reason for edge in edges.values()} == {Reason.EXHAUSTIVE}
    assert exhaustive([]) == exhaustive(["a"]) == {}


@given(count=st.integers(0, 40), overlap=st.integers(1, 9))
def test_sequential_joins_what_follows_and_powers_beyond(count: int, overlap: int) -> None:
    names = [f"{i:03d}" for i in range(count)]

    gaps = {int(b) - int(a) for a, b in sequential(names, overlap)}

    assert gaps >= set(range(1, min(overlap, count - 1) + 1))
    assert all(gap % overlap == 0 for gap in gaps if gap > overlap)
    assert {overlap * 2, overlap * 4} <= gaps or overlap * 4 >= count


def test_names_need_not_be_sorted() -> None:
    assert set(sequential(["2", "10", "1"], 1)) >= {("10", "2"), ("1", "10")}


def test_shots_of_one_burst_are_joined() -> None:
    edges = consecutive({"a": 100.0, "b": 0.0, "c": 30.0, "d": 31.0}, 10.0)

    assert set(edges) == {("c", "d")}


def test_spatial_takes_the_nearest_within_the_radius() -> None:
    positions = {
        name: np.array([x, 0, 0.0]) for name, x in {"a": 0, "b": 1, "c": 3, "d": 200, "e": 290}.items()
    }

    edges = spatial(positions, 1, 100.0)

    assert set(edges) == {("a", "b"), ("b", "c"), ("d", "e")}
    assert {edge.reason for edge in edges.values()} == {Reason.GPS}
    assert set(spatial(positions, 9, 2.0)) == {("a", "b"), ("b", "c")}
    assert spatial({"a": np.zeros(3)}, 3, 9.0) == spatial({}, 3, 9.0) == {}


def test_photos_at_one_position_are_joined() -> None:
    edges = spatial({name: np.zeros(3) for name in "abcdef"}, 2, 0.0)

    degrees = {name: sum(name in pair for pair in edges) for name in "abcdef"}
    assert min(degrees.values()) >= 2


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_listed_pairs(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpg", "my photo.jpg", "my photo.jpg b.jpg", "sub/ü 1.jpg", "#c.jpg"]
    text = (
        "\ufeffa.jpg b.jpg\r\n\n# a comment\n  b.jpg   a.jpg \nmy photo.jpg sub/ü 1.jpg\n"
        "a.jpg\tmy photo.jpg\nb.jpg b.jpg\n#c.jpg a.jpg\nmy photo.jpg b.jpg a.jpg\n"
    )

    edges = from_pairs_file(write(tmp_path, text), names)

    assert set(edges) == {
        Pair.of("a.jpg", "b.jpg"),
        Pair.of("my photo.jpg", "sub/ü 1.jpg"),
        Pair.of("a.jpg", "my photo.jpg"),
        Pair.of("#c.jpg", "a.jpg"),
        Pair.of("my photo.jpg b.jpg", "a.jpg"),
    }
    assert {edge.reason for edge in edges.values()} == {Reason.USER}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg x.jpg", r"pairs.txt:2: no photo is called 'x.jpg'"),
        ("y y.jpg\ta.jpg", r"pairs.txt:2: no photo is called 'y y.jpg'"),
        ("a.jpg", r"pairs.txt:2: expected two photo names"),
        ("a.jpg b.jpg x.jpg", r"pairs.txt:2: expected two photo names"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, f"a.jpg b.jpg\n{line}\n")

    with pytest.raises(RetrievalError, match=message):
        from_pairs_file(path, ["a.jpg", "b.jpg"])


def test_unreadable_lists_are_named(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")

    for name in ("binary.txt", "gone.txt"):
        with pytest.raises(RetrievalError, match=name):
            from_pairs_file(tmp_path / name, ["a"])
    with pytest.raises(RetrievalError, match="cannot be read"):
        from_pairs_file(tmp_path, ["a"])
