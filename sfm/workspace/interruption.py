"""Ctrl-C that cannot get lost on its way.

Python raises `KeyboardInterrupt` wherever the main thread happens to be. In a callback from C code (a
destructor, a ctypes function while numba compiles) the exception is printed and dropped, and the command
would go on. So the signal is also remembered, and each stage checks it.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_asked = False


@contextmanager
def interruptible(on_request: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let Ctrl-C and `kill` end the block by `KeyboardInterrupt`, now or at the next `check`.

    `on_request` is called once, at the first signal; what runs in C++ may take seconds to stop.

    Enter after pycolmap has been imported: it installs a handler of SIGTERM that prints a stack trace.
    """
    global _asked

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        global _asked
        if not _asked:
            _asked = True
            on_request()
        raise KeyboardInterrupt

    _asked = False
    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        _asked = False


def check() -> None:
    """Raise the interrupt that was asked for, in case it was dropped.

    Raises:
        KeyboardInterrupt: a signal came since `interruptible` was entered.
    """
    if _asked:
        raise KeyboardInterrupt
