"""Binary files of somebody else's, read with every size checked before it is believed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfm.errors import InputError

_COUNT = struct.Struct("<Q")


class BinaryFile:
    """A file read from its beginning to its end; asking for more than it holds is an error that names it.

    `what` is one of the things that it holds, for messages.

    Raises:
        InputError: it cannot be read; from each method: the file is truncated or damaged.
    """

    def __init__(self, file: Path, what: str) -> None:
        self._file, self._what, self._position = file, what, 0
        try:
            self._data = file.read_bytes()
        except OSError as error:
            raise InputError(f"{file} cannot be read: {error.strerror or error}") from error

    def count(self, least_bytes: int) -> int:
        """A number of things, each of which takes at least so many bytes of the rest of the file."""
        found: int = self.record(_COUNT)[0]
        if found * least_bytes > len(self._data) - self._position:
            size = len(self._data)
            raise InputError(
                f"{self._file} is truncated or damaged: {size} bytes cannot hold the {found} {self._what}s "
                "that it announces"
            )
        return found

    def record(self, layout: struct.Struct) -> tuple[Any, ...]:
        """The next values."""
        begin = self._advance(layout.size)
        return layout.unpack_from(self._data, begin)

    def array(self, dtype: Any, count: int) -> NDArray[Any]:
        """The next `count` values of one type."""
        begin = self._advance(count * np.dtype(dtype).itemsize)
        return np.frombuffer(self._data, dtype, count, begin)

    def text(self) -> str:
        """The next text, up to its zero byte; bytes that are not UTF-8 are kept as surrogates."""
        end = self._data.find(b"\0", self._position)
        begin = self._advance((end if end >= 0 else len(self._data)) + 1 - self._position)
        return self._data[begin:end].decode("utf-8", errors="surrogateescape")

    def end(self) -> None:
        """Expect the end of the file."""
        rest = len(self._data) - self._position
        if rest:
            raise InputError(f"{self._file} is damaged: {rest} bytes follow its last {self._what}")

    def _advance(self, size: int) -> int:
        begin = self._position
        if begin + size > len(self._data):
            raise InputError(
                f"{self._file} is truncated: it ends after {len(self._data)} bytes, in the middle of a "
                f"{self._what}"
            )
        self._position += size
        return begin
