"""The codebook's pickle is read in every spelling that numpy has had, and nothing else is accepted."""

import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfm.mast3r.weights.codebook_file import load_codebook, num_words
from tools.write_checkpoint import write_codebook

from .checkpoint_files import Executes, refused

OPCODES = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]


@pytest.fixture
def centroids() -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(7, 12)).astype(np.float32)


def written(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def content(centroids: object, size: object = 7, kind: object = "Codebook") -> dict[str, object]:
    return {"type": kind, "params": {"size": size}, "state": {"centroids": centroids}}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_protocol(tmp_path: Path, centroids: NDArray[np.float32], protocol: int) -> None:
    codebook = load_codebook(write_codebook(tmp_path / "c.pkl", centroids, protocol=protocol))

    assert np.array_equal(codebook.centroids, centroids)
    assert codebook.centroids.dtype == np.float32


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_modules_as_numpy_1_calls_them(tmp_path: Path, centroids: NDArray[np.float32], protocol: int) -> None:
    path = write_codebook(tmp_path / "c.pkl", centroids, protocol=protocol)
    data = path.read_bytes()
    for module in (b"numpy._core.multiarray", b"numpy._core.numeric"):
        older = module.replace(b"_core", b"core")
        data = data.replace(bytes([0x8C, len(module)]) + module, bytes([0x8C, len(older)]) + older)
        data = data.replace(b"c" + module, b"c" + older)
    assert b"_core" not in data
    path.write_bytes(data)

    assert np.array_equal(load_codebook(path).centroids, centroids)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(np.float64),
        lambda a: a.astype(">f4"),
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
    ],
    ids=["float64", "big-endian", "by columns", "strided"],
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_however_they_lie_in_memory(
    tmp_path: Path,
    centroids: NDArray[np.float32],
    change: Callable[[NDArray[np.float32]], NDArray[np.floating]],
    protocol: int,
) -> None:
    codebook = load_codebook(write_codebook(tmp_path / "c.pkl", change(centroids), protocol=protocol))

    assert np.array_equal(codebook.centroids, centroids)
    assert codebook.centroids.flags.c_contiguous


def test_as_the_asmk_package_saves_it(tmp_path: Path, centroids: NDArray[np.float32]) -> None:
    asmk = pytest.importorskip("asmk.codebook")
    theirs = asmk.Codebook(index_factory=None, size=7)
    theirs.centroids = centroids

    codebook = load_codebook(written(tmp_path / "c.pkl", theirs.state_dict()))

    assert np.array_equal(codebook.centroids, centroids)


@pytest.mark.parametrize(("value", "count"), [(7, 7), ("64k", 65536), ("1M", 1 << 20), ("12", 12)])
def test_sizes_as_numbers_or_text(value: object, count: int) -> None:
    assert num_words(value) == count


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.5, "", "k", "64K", "-1", "99999999M", "\u0663", None, [7], 1 << 25]
)
def test_sizes_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match="is no number of words"):
        num_words(value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("where", ["beside", "centroids", "inside centroids", "size", "top"])
def test_hostile_calls_are_refused_and_not_made(tmp_path: Path, where: str, protocol: int) -> None:
    bait = tmp_path / "executed"
    attack = Executes(os.system, f"touch {bait}")
    objects = np.array([attack, attack], dtype=object)
    contents = {
        "beside": {**content(np.zeros((7, 2), np.float32)), "more": [attack]},
        "centroids": content(attack),
        "inside centroids": content(objects, 2),
        "size": content(np.zeros((7, 2), np.float32), attack),
        "top": attack,
    }

    message = refused(load_codebook, written(tmp_path / "c.pkl", contents[where], protocol))

    assert not bait.exists()
    assert "system" in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (content(np.zeros((8, 2), np.float32)), "centroids have shape (8, 2), params.size is 7"),
        (content(np.zeros((7, 2), np.float32), "many"), "many is no number of words"),
        (content(np.zeros(7, np.float32)), "have shape (7,)"),
        (content(np.zeros((7, 2, 1), np.float32)), "their shape is none"),
        (content(np.zeros((7, 0), np.float32)), "have shape (7, 0)"),
        (content(np.zeros((7, 2), np.int64)), "of type i8"),
        (content(np.zeros((7, 2), np.float16)), "of type f2"),
        (content(np.zeros((7, 2), np.complex64)), "of type c8"),
        (content(np.zeros((7, 2), [("a", "f4")])), "of type V4"),
        (content(np.array([[b"ab"] * 2] * 7)), "of type S2"),
        (content(np.array([[None] * 2] * 7)), "of type O8"),
        (content(np.full((7, 2), np.nan, np.float32)), "NaN or infinity"),
        (content(np.full((7, 2), 1e300)), "NaN or infinity"),
        ([1] * 20_000, "more than 10000 instructions"),
        *(
            (value, "not a Codebook")
            for value in (
                *(content([[0.0, 0.0]] * 7), content(None), content({"set", "of", "texts"}), []),
                *(content(np.zeros((7, 2), np.float32), kind="Kernel"), {"type": "Codebook"}),
                {"type": "Codebook", "params": {"size": 7}},
                {"type": "Codebook", "params": [7], "state": []},
            )
        ),
    ],
)
def test_contents_that_are_no_codebook(tmp_path: Path, value: object, said: str) -> None:
    assert said in refused(load_codebook, written(tmp_path / "c.pkl", value))


def pickled_array(shape: bytes, data: bytes, kind: bytes = b"\x8c\x02f4") -> bytes:
    """A protocol 4 codebook of one word and any claims about its array."""
    array = (
        b"\x8c\x16numpy._core.multiarray\x8c\x0c_reconstruct\x93\x8c\x05numpy\x8c\x07ndarray\x93K\x00\x85"
        b"C\x01b\x87R(K\x01" + shape + b"\x8c\x05numpy\x8c\x05dtype\x93" + kind + b"\x89\x88\x87R"
        b"(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + data + b"tb"
    )
    return (
        b"\x80\x04}(\x8c\x04type\x8c\x08Codebook\x8c\x06params}\x8c\x04sizeK\x01s"
        b"\x8c\x05state}\x8c\x09centroids" + array + b"su."
    )


def test_handmade_pickle_is_a_codebook(tmp_path: Path) -> None:
    path = tmp_path / "c.pkl"
    path.write_bytes(pickled_array(b"K\x01K\x01\x86", b"C\x04\x00\x00\x80?"))

    assert load_codebook(path).centroids.tolist() == [[1.0]]


@pytest.mark.parametrize(
    "data",
    [
        pickled_array(b"K\x01J\xff\xff\xff\x7f\x86", b"C\x04\x00\x00\x80?"),
        pickled_array(b"K\x01J\xff\xff\xff\xff\x86", b"C\x04\x00\x00\x80?"),
        pickled_array(b"K\x01\x8a\x09" + b"\xff" * 8 + b"\x00\x86", b"C\x04\x00\x00\x80?"),
        pickled_array(b"K\x01K\x01\x86", b"\x8e\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x80?"),
        pickled_array(b"K\x01K\x01\x86", b"B\xff\xff\xff\xff\x00\x00\x80?"),
        pickled_array(b"K\x01K\x01\x86", b"\x97"),
        pickled_array(b"K\x01K\x01\x86", b"N"),
        pickled_array(b"K\x01K\x01\x86", b"]"),
        pickled_array(b"K\x01K\x01\x86", b"C\x04\x00\x00\x80?", kind=b"\x8c\x01O"),
        pickled_array(b"K\x01K\x01\x86", b"C\x04\x00\x00\x80?", kind=b"K\x04"),
        pickled_array(b"N", b"C\x04\x00\x00\x80?"),
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\xff.",
        b"\x80\x04",
        b"\x80",
        b"\x80\x02cbuiltins\neval\n.",
        b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00a\x85R.",
        b"\x80\x02X\x01\x00\x00\x00aQ.",
    ],
)
def test_claims_that_the_file_does_not_keep(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.pkl"
    path.write_bytes(data)

    refused(load_codebook, path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=st.lists(st.sampled_from(OPCODES) | st.binary(max_size=8)))
def test_no_program_does_worse_than_a_refusal(tmp_path: Path, program: list[bytes]) -> None:
    path = tmp_path / "c.pkl"
    path.write_bytes(b"\x80\x04" + b"".join(program) + b".")

    refused(load_codebook, path)
