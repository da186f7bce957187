"""Which photo a person means who gives its name, or the last part of it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import PurePosixPath

from sfm.errors import InputError


def resolve_photo(photo: str, names: Sequence[str]) -> str:
    """The one of `names` that is meant: by its whole name, its last parts, or an ending that no other shares.

    Raises:
        InputError: none or several are meant.
    """
    if photo in names:
        return photo
    parts = PurePosixPath(photo).parts
    matches = [name for name in names if PurePosixPath(name).parts[-len(parts) :] == parts]
    matches = matches or [name for name in names if name.endswith(photo)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(matches[:5])
        raise InputError(
            f"{photo!r} could be any of {len(matches)} photos: {shown}", hint="give more of the name"
        )
    raise InputError(f"no photo {photo!r} in this run", hint=_nearest(photo, names))


def _nearest(photo: str, names: Sequence[str]) -> str:
    by_base = {PurePosixPath(name).name: name for name in names}
    near = difflib.get_close_matches(PurePosixPath(photo).name, by_base, n=3, cutoff=0.4)
    shown = [by_base[base] for base in near] or list(names[:3])
    return f"did you mean {', '.join(shown)}?" if near else f"it has {', '.join(shown)}, …"
