"""Downloads go on where they were interrupted, and end in the whole file or in a message."""

from __future__ import annotations

import shutil
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from sfm.errors import WeightsError
from sfm.mast3r.weights.download import UnreachableError, download
from sfm.mast3r.weights.weights import OfficialFile, WeightsKind, partial_files
from tools.write_checkpoint import write_codebook

from .weights_server import Behaviour, serving


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A codebook of 3 MB."""
    numbers = np.random.default_rng(0).normal(size=(750, 1024)).astype(np.float32)
    return write_codebook(tmp_path / "original.pkl", numbers).read_bytes()


@pytest.fixture
def behaviour(content: bytes) -> Behaviour:
    return Behaviour(content)


@pytest.fixture(autouse=True)
def short_pauses_and_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between attempts; a broken connection loses what of a piece had arrived."""
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "weights"


@pytest.fixture
def official(behaviour: Behaviour) -> Iterator[OfficialFile]:
    with serving(behaviour) as address:
        url = f"{address}/codebook.pkl"
        size = len(behaviour.content)
        yield OfficialFile(WeightsKind.CODEBOOK, "codebook.pkl", url, size, schemes=("http",))


class Meter:
    """Counts what a display would show."""

    def __init__(self) -> None:
        self.total = self.done = 0

    @contextmanager
    def task(self, title: str, total: int, *, unit: str = "") -> Iterator[Meter]:
        self.total += total
        yield self

    def advance(self, steps: int = 1) -> None:
        self.done += steps


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_whole_file_with_progress(official: OfficialFile, folder: Path, content: bytes) -> None:
    meter = Meter()

    path = download(official, folder, progress=meter)

    assert path == folder / "codebook.pkl"
    assert path.read_bytes() == content
    assert left(folder) == {"codebook.pkl"}
    assert (meter.done, meter.total) == (3, 3)


def test_broken_connections_go_on_where_they_broke(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes
) -> None:
    behaviour.breaks_after = [1_000_000, 500_000]
    meter = Meter()

    path = download(official, folder, progress=meter)

    assert path.read_bytes() == content
    assert behaviour.ranges == [None, "bytes=1000000-", "bytes=1500000-"]
    assert meter.done == 3


def interrupted(official: OfficialFile, folder: Path, behaviour: Behaviour, after: int) -> Path:
    """The part that a download leaves which breaks off."""
    behaviour.breaks_after = [after, *[0] * 6]
    with pytest.raises(WeightsError, match=f"{after / 1e6:.1f} MB are there") as caught:
        download(official, folder)
    assert "the same command continues" in caught.value.hint
    behaviour.breaks_after.clear()
    behaviour.ranges.clear()
    (part,) = partial_files(official, folder)
    assert left(folder) == {part.name}
    return part


def test_a_later_call_goes_on(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes
) -> None:
    interrupted(official, folder, behaviour, 1_200_000)

    assert download(official, folder).read_bytes() == content
    assert behaviour.ranges == ["bytes=1200000-"]
    assert left(folder) == {"codebook.pkl"}


def test_an_interrupt_keeps_what_arrived(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes
) -> None:
    class Stop(Meter):
        def advance(self, steps: int = 1) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(official, folder, progress=Stop())
    (part,) = partial_files(official, folder)
    kept = part.stat().st_size
    assert kept >= 1_000_000

    assert download(official, folder).read_bytes() == content
    assert behaviour.ranges[1:] in ([f"bytes={kept}-"], [])


@pytest.mark.parametrize("shift", [1, -7])
def test_another_part_than_was_asked_for_is_not_used(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes, shift: int
) -> None:
    interrupted(official, folder, behaviour, 1_000_000)
    behaviour.shifts_range = shift

    with pytest.raises(WeightsError, match=r"another part than was asked for|more than the file has"):
        download(official, folder)
    assert left(folder) == set()
    assert download(official, folder).read_bytes() == content


def test_a_file_that_changed_meanwhile_is_fetched_whole(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes
) -> None:
    interrupted(official, folder, behaviour, 1_000_000)
    behaviour.etag = '"second"'
    behaviour.content = content[:-1] + b"!"

    assert download(official, folder).read_bytes() == behaviour.content
    assert left(folder) == {"codebook.pkl"}


@pytest.mark.parametrize("surplus", [0, 5_000_000])
def test_a_part_that_is_as_long_as_the_file_or_longer(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes, surplus: int
) -> None:
    part = interrupted(official, folder, behaviour, 2_000_000)
    part.write_bytes(content + bytes(surplus))

    assert download(official, folder).read_bytes() == content
    assert behaviour.ranges == ([None] if surplus else [])


@pytest.mark.parametrize(
    "behaves", [{"breaks_after": [1_000_000], "ignores_range": True}, {"statuses": [503, 429, 502]}]
)
def test_servers_without_ranges_and_busy_ones_are_asked_again(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes, behaves: dict[str, object]
) -> None:
    vars(behaviour).update(behaves)

    assert download(official, folder).read_bytes() == content


@pytest.mark.parametrize(
    ("behaves", "said"),
    [
        *(({"status": status}, f"the server answers {status}") for status in (404, 403, 500)),
        ({"content_type": "text/html; charset=utf-8"}, "has a web page"),
        ({"content": b"<html>" + bytes(3_000_000)}, r"sent something else.*a web page"),
        *(({"content": bytes(size)}, r"expected about 3\.1 MB") for size in (100, 30_000_000)),
        ({"sends_length": False}, r"has 0\.0 MB"),
        *(({"status": 302, "location": f"{other}://a/b"}, None) for other in ("ftp", "file")),
    ],
)
def test_what_is_not_the_file_is_not_kept(
    official: OfficialFile, folder: Path, behaviour: Behaviour, behaves: dict[str, object], said: str | None
) -> None:
    vars(behaviour).update(behaves)

    with pytest.raises(WeightsError, match=said):
        download(official, folder)
    assert left(folder) == set()


def test_a_full_disk_is_noticed_first(
    official: OfficialFile, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 1000))

    with pytest.raises(WeightsError, match="the download needs") as caught:
        download(official, folder)
    assert "mast3r.weights_dir" in caught.value.hint


def test_no_connection(folder: Path) -> None:
    with serving(Behaviour(b"")) as address:
        pass
    closed = OfficialFile(WeightsKind.CODEBOOK, "c.pkl", f"{address}/c.pkl", 10, schemes=("http",))

    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        download(closed, folder)
    assert closed.url in caught.value.hint
    assert str(folder) in caught.value.hint


@pytest.mark.parametrize("url", ["http://example.org/a", "file:///etc/passwd", "ftp://example.org/a", "a"])
def test_nothing_but_https(folder: Path, url: str) -> None:
    with pytest.raises(WeightsError, match="instead of https"):
        download(OfficialFile(WeightsKind.NETWORK, "n.pth", url, 10), folder)


def test_redirects_within_the_protocol_are_followed(
    official: OfficialFile, folder: Path, behaviour: Behaviour, content: bytes
) -> None:
    behaviour.statuses, behaviour.location = [302], official.url

    assert download(official, folder).read_bytes() == content


def test_two_processes_do_not_write_the_same_file(
    official: OfficialFile, folder: Path, behaviour: Behaviour
) -> None:
    class Nested(Meter):
        def advance(self, steps: int = 1) -> None:
            download(official, folder)

    with pytest.raises(WeightsError, match="another process is fetching it"):
        download(official, folder, progress=Nested())


def test_a_folder_that_cannot_be_made(official: OfficialFile, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(WeightsError, match="cannot be written"):
        download(official, tmp_path / "file" / "weights")
