"""Fetching the official files: resumable, over https, under their names only when they are complete."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, BinaryIO, cast
from urllib.parse import urlsplit

import httpx2
from filelock import FileLock, Timeout
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import disable_progress_bars, hf_raise_for_status, http_backoff
from huggingface_hub.utils.logging import set_verbosity_error

from sfm.errors import WeightsError
from sfm.workspace.progress import Progress, SilentProgress, Task

from .foreign_files import PICKLE, ZIP, require
from .weights import OfficialFile, WeightsKind, partial_files

_SPARE_BYTES = 1 << 26
_MIN_SHARE, _MAX_SHARE = 1 / 64, 8
"""Sizes outside of these multiples of the expected one can't be the file; an optimiser's state can."""
_HEADERS = {"User-Agent": "loopsfm", "Accept-Encoding": "identity"}
"""Without "identity" proxies may compress, and the bytes would not be those of the file."""


class UnreachableError(WeightsError):
    """The server cannot be reached from here."""


def download(official: OfficialFile, folder: Path, *, progress: Progress | None = None) -> Path:
    """Fetch one file into `folder`, going on where an earlier call was interrupted.

    Args:
        official: what to fetch, and by which protocols it may be.
        folder: made if need be.
        progress: shows megabytes.

    Returns:
        The complete file; its checksum is not looked at here.

    Raises:
        UnreachableError: no connection to the server.
        WeightsError: the server's answer isn't the file, no disk space, or another process is fetching it.
    """
    target = folder / official.name
    _require_scheme(official, official.url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder / f".{official.name}.lock"), blocking=False):
            part, total = _asked(official, folder)
            try:
                _receive(official, part, total, progress or SilentProgress())
                require(part, PICKLE if official.kind is WeightsKind.CODEBOOK else ZIP)
            except (OverflowError, WeightsError) as error:
                part.unlink()
                why = f"the server sent something else: {error}"
                raise WeightsError(f"{official.url}: {why}", hint="the same command begins again") from error
            os.replace(part, target)
            return target
    except Timeout:
        raise WeightsError(f"{target}: another process is fetching it") from None
    except (httpx2.HTTPError, ConnectionError) as error:
        raise _explained(error, official, folder) from error
    except OSError as error:
        raise WeightsError(f"{target}: cannot be written: {error}") from error


def by_hand(files: Sequence[OfficialFile], folder: Path) -> str:
    """What to do without a connection, in words."""
    lines = [f"  {file.url}" for file in files]
    return "\n".join(["on a computer with internet, fetch", *lines, f"and put it into {folder}"])


def _explained(error: Exception, official: OfficialFile, folder: Path) -> WeightsError:
    answer = getattr(error, "response", None)
    if answer is not None:
        said = f"the server answers {answer.status_code} {answer.reason_phrase}"
        return WeightsError(f"{official.url}: {said}", hint=by_hand([official], folder))
    if parts := partial_files(official, folder):
        return WeightsError(
            f"{official.url}: the connection broke ({error or type(error).__name__}); "
            f"{parts[0].stat().st_size / 1e6:.1f} MB are there",
            hint="the same command continues there later",
        )
    host = urlsplit(official.url).hostname
    return UnreachableError(f"{host} cannot be reached: {error}", hint=by_hand([official], folder))


def _asked(official: OfficialFile, folder: Path) -> tuple[Path, int]:
    """Where the file's bytes go until all are there, and how many there are.

    The name of a partial file is made of what the server says of the whole one, so that bytes of two versions
    are never mixed.
    """
    answer = http_backoff(
        "HEAD", official.url, headers=_HEADERS, follow_redirects=True, max_retries=3, retry_on_exceptions=()
    )
    for step in (*answer.history, answer):
        _require_scheme(official, str(step.url))
    hf_raise_for_status(answer)
    size = answer.headers.get("Content-Length", "")
    total = int(size) if size.isascii() and size.isdigit() and len(size) < 19 else 0
    kind = answer.headers.get("Content-Type", "")
    if kind.startswith("text/html") or not _MIN_SHARE <= total / official.num_bytes <= _MAX_SHARE:
        page = "a web page of " if kind.startswith("text/html") else ""
        found = f"{page}{total / 1e6:.1f} MB, expected about {official.num_bytes / 1e6:.1f} MB"
        raise WeightsError(f"{official.url}: has {found}", hint=by_hand([official], folder))
    version = (official.url, size, *(answer.headers.get(name, "") for name in ("ETag", "Last-Modified")))
    part = folder / f"{official.name}.{hashlib.sha256(repr(version).encode()).hexdigest()[:12]}.part"
    for other in partial_files(official, folder):
        if other != part or other.stat().st_size > total:
            other.unlink()
    missing = total - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(folder).free
    if free < missing + _SPARE_BYTES:
        raise WeightsError(
            f"{folder}: {free / 1e9:.1f} GB free, the download needs {missing / 1e9:.1f} GB",
            hint="free some space, or choose another folder: mast3r.weights_dir, or $LOOPSFM_WEIGHTS",
        )
    return part, total


class _Metered:
    """A file that shows how much of it is there, and takes no more than `total` bytes."""

    def __init__(self, file: IO[bytes], task: Task, total: int) -> None:
        self._file, self._task, self._total, self._shown_mb = file, task, total, 0
        self.seek, self.tell, self.truncate = file.seek, file.tell, file.truncate
        self.write(b"")

    def write(self, data: bytes) -> int:
        """Append to it; what is shown never runs backwards.

        Raises:
            OverflowError: the server sends more than it announced.
        """
        if self._file.tell() + len(data) > self._total:
            raise OverflowError("more than the file has")
        written = self._file.write(data)
        if (steps := self._file.tell() // 1_000_000 - self._shown_mb) > 0:
            self._shown_mb += steps
            self._task.advance(steps)
        return written


def _receive(official: OfficialFile, part: Path, total: int, progress: Progress) -> None:
    disable_progress_bars("huggingface_hub.http_get")
    set_verbosity_error()  # it tries again by itself
    title, num_mb = str(official.kind), max(1, total // 1_000_000)
    with part.open("ab") as file, progress.task(title, num_mb, unit="MB") as task:
        metered = cast(BinaryIO, _Metered(file, task, total))
        try:
            http_get(official.url, metered, resume_size=file.tell(), headers=_HEADERS, expected_size=total)
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno is not None or isinstance(error, httpx2.HTTPError | ConnectionError):
                raise
            raise OverflowError("another part than was asked for") from error


def _require_scheme(official: OfficialFile, url: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in official.schemes:
        raise WeightsError(f"{official.url}: refused, {scheme or 'no protocol'} instead of https ({url})")
