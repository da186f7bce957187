"""What the machine has to spare, on every system that we run on."""

from __future__ import annotations

import os
from pathlib import Path

_UNKNOWN = 4 << 30


def free_memory() -> int:
    """Bytes of memory that can be had without swapping: what files are cached in counts as free (Linux).

    Elsewhere the free pages that the system tells of, or 4 GiB where it tells of none.
    """
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN
