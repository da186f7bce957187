"""What the machine has to spare, on every system that we run on."""

import os
from collections.abc import Iterator
from pathlib import Path

_UNKNOWN = 4 << 30
_GROUPS = Path("/sys/fs/cgroup")
_GROUP_FILES = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Of control groups, version 2 and 1: folder, limit, use, and what of the use is cached files."""


def free_memory() -> int:
    """Bytes of memory that can be had without swapping; the cache of files counts as free (Linux).

    No more than the limits of this process and of its control groups leave, as those of containers and batch
    systems do. Elsewhere the free pages that the system reports, or 4 GiB where it reports none.
    """
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        groups = []
    paths = {line.split(":", 2)[-1].strip("/") for line in groups}
    limited = [free for path in sorted(paths) for free in control_group_free(_GROUPS, path)]
    return max(0, min([_system_free(), *limited, *_address_space_free()]))


def control_group_free(root: Path, path: str) -> Iterator[int]:
    """Bytes that a control group and those that it is part of still allow, where they limit memory.

    Control groups are mounted at `root`; `path` is the group's below it.
    """
    for folder, limit_file, used_file, cached in _GROUP_FILES:
        group = root / folder / path
        for place in (group, *group.parents):
            if not place.is_relative_to(root / folder):
                break
            try:
                limit, used = ((place / name).read_text(encoding="ascii") for name in (limit_file, used_file))
                figures = (place / "memory.stat").read_text(encoding="ascii").splitlines()
                files = next((int(line.split()[1]) for line in figures if line.split()[0] == cached), 0)
                yield int(limit) - int(used) + files
            except (OSError, ValueError):
                continue  # no such group, or no limit ("max")


def _system_free() -> int:
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


def _address_space_free() -> Iterator[int]:
    """What `ulimit -v` leaves."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (ImportError, OSError, ValueError):
        return
    if limit != resource.RLIM_INFINITY:
        yield limit - pages * os.sysconf("SC_PAGE_SIZE")
