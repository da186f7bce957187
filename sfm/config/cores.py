"""Cores of this machine."""

import os


def num_cores() -> int:
    """Cores that this process may run on; all where the system does not tell (macOS, Windows)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
