"""A stopwatch for parts of a process."""

from __future__ import annotations

import time


class Clock:
    """Adds up the seconds that are spent inside it, by the wall and by this process on all its cores."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    def __enter__(self) -> Clock:
        self.wall_s -= time.monotonic()
        self.cpu_s -= time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s += time.monotonic()
        self.cpu_s += time.process_time()
