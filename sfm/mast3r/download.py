"""Fetching the official files: resumable, over https, under their names only when they are complete."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from sfm.errors import WeightsError
from sfm.progress import Progress, SilentProgress, Task

from .foreign_files import require_pickle, require_zip
from .weights import OfficialFile, WeightsKind, partial_path

_CHUNK = 1 << 20
_SPARE_BYTES = 1 << 26
_MIN_SHARE, _MAX_SHARE = 1 / 64, 8
"""Sizes outside of these multiples of the expected one can't be the file; an optimiser's state can."""
_MAY_PASS = {408, 429, 500, 502, 503, 504}
"""Answers after which another attempt may succeed."""


class UnreachableError(WeightsError):
    """The server cannot be reached from here."""


class _BrokenConnection(Exception):
    """The connection ended early; what arrived is kept."""


def download(
    official: OfficialFile,
    folder: Path,
    *,
    progress: Progress | None = None,
    attempts: int = 5,
    wait_s: float = 2.0,
    timeout_s: float = 30.0,
) -> Path:
    """Fetch one file into `folder`, going on where an earlier call was interrupted.

    Args:
        official: what to fetch, and by which protocols it may be.
        folder: made if need be.
        progress: shows megabytes.
        attempts: connections in a row that may break without having brought anything.
        wait_s: pause between them.
        timeout_s: silence after which a connection counts as broken.

    Returns:
        The complete file; its checksum is not looked at here.

    Raises:
        UnreachableError: no connection to the server.
        WeightsError: the server's answer isn't the file, no disk space, or another process is fetching it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(folder / f".{official.name}.lock"), blocking=False), ExitStack() as stack:
            fetch = _Fetch(official, folder, timeout_s, _Meter(progress or SilentProgress(), stack))
            fetch.to_the_end(attempts, wait_s)
            return fetch.finish()
    except Timeout:
        raise WeightsError(f"{folder / official.name}: another process is fetching it") from None
    except OSError as error:
        raise WeightsError(f"{folder / official.name}: cannot be written: {error}") from error


def by_hand(files: Sequence[OfficialFile], folder: Path) -> str:
    """What to do without a connection, in words."""
    lines = [f"  {file.url}" for file in files]
    return "\n".join(["on a computer with internet, fetch", *lines, f"and put it into {folder}"])


class _Meter:
    """Shows how much of a file is there; never runs backwards."""

    def __init__(self, progress: Progress, stack: ExitStack) -> None:
        self._progress, self._stack = progress, stack
        self._task: Task | None = None
        self._done_mb = 0

    def start(self, name: str, total: int) -> None:
        if self._task is None:
            shown = self._progress.task(name, max(1, total // 1_000_000), unit="MB")
            self._task = self._stack.enter_context(shown)

    def show(self, num_bytes: int) -> None:
        steps = num_bytes // 1_000_000 - self._done_mb
        if self._task is not None and steps > 0:
            self._task.advance(steps)
            self._done_mb += steps


class _Fetch:
    """One file on its way."""

    def __init__(self, official: OfficialFile, folder: Path, timeout_s: float, meter: _Meter) -> None:
        self.official = official
        self.target = folder / official.name
        self.part = partial_path(official, folder)
        self.note = self.part.with_name(f"{self.part.name}.json")
        self._timeout_s, self._meter = timeout_s, meter
        self._opener = urllib.request.build_opener(_Redirects(official))

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.part.stat().st_size if self.part.exists() else 0

    def to_the_end(self, attempts: int, wait_s: float) -> None:
        """Connect until the file is complete, or `attempts` connections in a row brought nothing."""
        barren, connected = 0, False
        while True:
            before = self.size
            try:
                self._connect()
                return
            except _BrokenConnection as error:
                connected = connected or self.size > before
                barren = 0 if self.size > before else barren + 1
                if barren >= attempts:
                    raise WeightsError(
                        f"{self.official.url}: {error}; {self.size / 1e6:.1f} MB are there",
                        hint="the same command continues there later",
                    ) from error
            except UnreachableError:
                barren += 1
                if not connected or barren >= attempts:
                    raise
            time.sleep(wait_s)

    def finish(self) -> Path:
        """Give the complete file its name.

        Raises:
            WeightsError: it is something else.
        """
        try:
            (require_pickle if self.official.kind is WeightsKind.CODEBOOK else require_zip)(self.part)
        except WeightsError as error:
            self._forget()
            raise WeightsError(f"{self.official.url}: the server sent something else: {error}") from error
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.part, self.target)
        self.note.unlink(missing_ok=True)
        return self.target

    def _connect(self) -> None:
        """Fetch what is missing over one connection."""
        note = self._note()
        if note.get("url") != self.official.url:
            self._forget()
            note = {}
        start = self.size
        if start and start == note.get("total"):
            return
        try:
            with self._open(start, note) as answer:
                start, total = self._begin(answer.status, answer.headers, start, note)
                self._receive(answer, start, total)
        except urllib.error.HTTPError as error:
            self._refused(error)
        except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
            raise _BrokenConnection(f"the connection broke ({error or type(error).__name__})") from error

    def _open(self, start: int, note: dict[str, Any]) -> http.client.HTTPResponse:
        _require_scheme(self.official, self.official.url)
        # Without "identity" proxies may compress, and the bytes would not be those of the file.
        headers = {"User-Agent": "loopsfm", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if note.get("validator"):
                headers["If-Range"] = str(note["validator"])
        request = urllib.request.Request(self.official.url, headers=headers)
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=self._timeout_s)
            return answer
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError as error:
            host = urlsplit(self.official.url).hostname
            raise UnreachableError(
                f"{host} cannot be reached: {error.reason}", hint=by_hand([self.official], self.target.parent)
            ) from error

    def _begin(
        self, status: int, headers: Message, start: int, note: dict[str, Any]
    ) -> tuple[int, int | None]:
        """First byte of the answer and size of the whole file, after checks of both."""
        if headers.get_content_type() == "text/html":
            raise WeightsError(f"{self.official.url}: the server sent a web page", hint=self._by_hand())
        total = _number(headers.get("Content-Length"))
        if status == 206:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
            total = _number(found[2]) if found else None
            changed = note.get("total") is not None and total not in (None, note["total"])
            if found is None or int(found[1]) != start or changed:
                self._forget()
                raise _BrokenConnection("the server sent another part than was asked for")
        else:
            start = 0
        expected = self.official.num_bytes
        if total is not None and not expected * _MIN_SHARE <= total <= expected * _MAX_SHARE:
            raise WeightsError(
                f"{self.official.url}: has {total / 1e6:.1f} MB, expected about {expected / 1e6:.1f} MB",
                hint=self._by_hand(),
            )
        self._require_space((expected if total is None else total) - start)
        etag = headers.get("ETag", "")
        validator = etag if etag.startswith('"') else headers.get("Last-Modified")
        text = json.dumps({"url": self.official.url, "validator": validator, "total": total})
        if start == 0:
            self.part.unlink(missing_ok=True)
        self.note.write_text(text, encoding="utf-8")
        self._meter.start(str(self.official.kind), expected if total is None else total)
        return start, total

    def _receive(self, answer: IO[bytes], start: int, total: int | None) -> None:
        limit = int(self.official.num_bytes * _MAX_SHARE) if total is None else total
        self._meter.show(start)
        with self.part.open("ab") as file:
            while chunk := answer.read(_CHUNK):
                start += len(chunk)
                if start > limit:
                    self._forget()
                    raise WeightsError(f"{self.official.url}: the server sends more than the file has")
                file.write(chunk)
                self._meter.show(start)
        if total is not None and start < total:
            raise _BrokenConnection(f"the connection ended after {start} of {total} bytes")

    def _refused(self, error: urllib.error.HTTPError) -> None:
        """An answer that isn't a file."""
        if error.code == 416:
            # What is there is as long as the file, or longer: it is of another version.
            self._forget()
            raise _BrokenConnection("the server has no such part") from error
        if error.code in _MAY_PASS:
            raise _BrokenConnection(f"the server answers {error.code} {error.reason}") from error
        raise WeightsError(
            f"{self.official.url}: the server answers {error.code} {error.reason}", hint=self._by_hand()
        ) from error

    def _require_space(self, num_bytes: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if free < num_bytes + _SPARE_BYTES:
            raise WeightsError(
                f"{self.part.parent}: {free / 1e9:.1f} GB free, the download needs {num_bytes / 1e9:.1f} GB",
                hint="free some space, or choose another folder: mast3r.weights_dir, or $LOOPSFM_WEIGHTS",
            )

    def _note(self) -> dict[str, Any]:
        """Of what the partial file is a part."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return note if isinstance(note, dict) else {}

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _by_hand(self) -> str:
        return by_hand([self.official], self.target.parent)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects by allowed protocols alone."""

    def __init__(self, official: OfficialFile) -> None:
        self._official = official

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        _require_scheme(self._official, newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _require_scheme(official: OfficialFile, url: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme not in official.schemes:
        raise WeightsError(f"{official.url}: refused, {scheme or 'no protocol'} instead of https ({url})")


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
