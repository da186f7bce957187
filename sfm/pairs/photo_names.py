"""Which photo a person means who gives its name, or the last part of it."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from sfm.errors import InputError
from sfm.untrusted.suggestions import nearest


def resolve_photo(photo: str, names: Sequence[str]) -> str:
    """The one of `names` that is meant: by its whole name, its last parts, or an ending that no other shares.

    The suffix may be left out.

    Raises:
        InputError: none or several are meant.
    """
    if photo in names:
        return photo
    rules = [(ends, form) for ends in (_ends_in_parts, str.endswith) for form in (str, _without_suffix)]
    found = ([name for name in names if ends(form(name), photo)] for ends, form in rules)
    matches = next(filter(None, found), [])
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(matches[:5])
        raise InputError(
            f"{photo!r} could be any of {len(matches)} photos: {shown}", hint="give more of the name"
        )
    raise InputError(f"no photo {photo!r} in this run", hint=_nearest(photo, names))


def _ends_in_parts(name: str, photo: str) -> bool:
    parts = PurePosixPath(photo).parts
    return PurePosixPath(name).parts[-len(parts) :] == parts


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _nearest(photo: str, names: Sequence[str]) -> str:
    by_base = {PurePosixPath(name).name: name for name in names}
    near = nearest(PurePosixPath(photo).name, by_base, count=3, cutoff=0.4)
    shown = [by_base[base] for base in near] or list(names[:3])
    return f"did you mean {', '.join(shown)}?" if near else f"it has {', '.join(shown)}, …"
