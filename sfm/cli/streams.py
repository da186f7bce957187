"""Standard streams that outlive their reader: what nobody reads any more is dropped, and the work goes on."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from sfm.errors import WorkspaceError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF})
"""The reader has ended, or the terminal was closed."""


def steady_streams() -> None:
    """Make standard output and error safe to write to for as long as the process lives.

    Where one is closed from the start, the next file to be opened would take its number, and receive the
    output of native libraries. So its number goes to the null device first.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdout = _steady(sys.stdout, sys.__stdout__, 1, _GONE)
    # nothing that a run makes goes to stderr, so that no trouble there is worth its end
    sys.stderr = _steady(sys.stderr, sys.__stderr__, 2, frozenset(errno.errorcode))


class _Enduring(io.FileIO):
    """A descriptor that leads to the null device from the first write on for which nobody is there.

    No buffer lies over it: one would write again what Ctrl-C came just after.
    """

    def __init__(self, number: int, survived: frozenset[int]) -> None:
        super().__init__(number, "w", closefd=False)
        self._survived = survived

    def write(self, data: ReadableBuffer, /) -> int:
        left = memoryview(data).cast("B")
        try:
            while left:  # a pipe may take a part at a time
                left = left[super().write(left) or 0 :]
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if error.errno not in self._survived:
                raise WorkspaceError(f"cannot write to standard output: {error.strerror}") from error
        return memoryview(data).nbytes


def _steady(stream: TextIO | None, original: TextIO | None, number: int, survived: frozenset[int]) -> TextIO:
    """The stream over an enduring descriptor; one that somebody put in its place stays."""
    if stream is not original and stream is not None:
        return stream
    encoding = stream.encoding if stream is not None else "utf-8"
    # file names need not be valid in the terminal's encoding
    return io.TextIOWrapper(_Enduring(number, survived), encoding, "backslashreplace", write_through=True)
