"""Results of runs in the cache: one folder for all that a result depends on, none removed unasked.

CACHE/runs/STEM/KEY/              facts.json, the log, and the models of a finished run
CACHE/runs/STEM/KEY.lock          held by the process that makes it
CACHE/runs/STEM/KEY.XXXXXXXX/     a run that goes on, or was broken off
"""

import json
import math
import shutil
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from harness.measured import OUT_OF_MEMORY, TIMED_OUT
from harness.one_at_a_time import only_process


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run says of itself, without any truth; seconds are wall clock."""

    status: str
    """`ok`, or why there is no result."""
    photos: int = 0
    models_at: str = ""
    """Folder of models, relative to that of the run."""
    reprojection_px: float | None = None
    """Of the largest model, like the next."""
    track_length: float | None = None
    pairs: int | None = None
    pairs_share: float | None = None
    describe_s: float | None = None
    match_s: float | None = None
    map_s: float | None = None
    total_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    time_limit_s: float | None = None
    """That each process of the run had; None in results of before it was kept, like the next."""
    memory_limit_mb: float | None = None
    backend: str | None = None
    """Ours alone: the one that it took, and the device that its network ran on; None in results of before."""
    device: str | None = None
    measured_on: str | None = None
    """Day of the run (UTC); None where nobody kept it, like the next two."""
    described_on: str | None = None
    """Of the database that COLMAP's mappers share: seconds of describing and matching are of then."""
    matched_on: str | None = None


def stored_facts(folder: Path) -> Facts | None:
    """What is kept of a run; None where nothing is, or it is damaged."""
    known = {field.name for field in fields(Facts)}
    try:
        content = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        return Facts(**{key: value for key, value in content.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def may_finish(facts: Facts, time_limit_s: float, memory_limit_mb: float | None) -> bool:
    """Whether what stopped a run is less than what it may take now; old facts tell only what it took."""
    if facts.status.startswith(TIMED_OUT):
        return time_limit_s > (facts.time_limit_s or facts.total_s)
    if facts.status.startswith(OUT_OF_MEMORY):
        return (memory_limit_mb or math.inf) > (facts.memory_limit_mb or facts.peak_memory_mb)
    return False


def store_run(folder: Path, make: Callable[[Path], Facts]) -> Facts:
    """Make a run in a folder of its own, then the place of `folder`; the caller holds its lock."""
    new = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    new.mkdir(parents=True)
    try:
        facts = make(new)
        (new / "facts.json").write_text(json.dumps(asdict(facts), indent=1), encoding="utf-8")
        if folder.exists():
            folder.rename(new / "before")
        new.rename(folder)
        shutil.rmtree(folder / "before", ignore_errors=True)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return facts


def prune_runs(kept: Path) -> int:
    """Remove the other results of the same stem and runs that were broken off, and count them.

    What another process is making stays.
    """
    removed = 0
    for folder in sorted(path for path in kept.parent.iterdir() if path.is_dir() and path != kept):
        with only_process(folder.with_name(folder.name.partition(".")[0]), wait=False) as is_free:
            if is_free:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed
