"""Photos whose files were removed or changed while a run went on."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from sfm.types import Photo

FileState = tuple[int, int] | None
"""Size (bytes) and time of change (ns); None where there is no file."""


def file_states(photos: Iterable[Photo]) -> dict[str, FileState]:
    """The files of photos as they are now, by name."""
    return {photo.name: _state(photo.path) for photo in photos}


def file_changes(photos: Iterable[Photo], before: Mapping[str, FileState]) -> dict[str, str]:
    """What has become of the files of photos since `before`, in words, where they are not the same."""
    now = file_states(photos)
    return {
        name: f"its file was {'changed' if state else 'removed'} while the run went on"
        for name, state in now.items()
        if state is None or state != before.get(name, state)
    }


def _state(path: Path) -> FileState:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if path.is_file() else None
