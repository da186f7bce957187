"""Which image of a model is which of the ground truth."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath


def match_names(estimated: Iterable[str], true: Iterable[str]) -> Mapping[str, str]:
    """True name of every estimated name that has one: equal names first, else file names that are unique.

    A file name is unique when, among the names not matched exactly, it occurs once on both sides.
    """
    left, right = set(estimated), set(true)
    matched = {name: name for name in sorted(left & right)}
    theirs, ours = _by_file_name(right - left), _by_file_name(left - right)
    for file_name in sorted(theirs.keys() & ours.keys()):
        if len(theirs[file_name]) == 1 and len(ours[file_name]) == 1:
            matched[ours[file_name][0]] = theirs[file_name][0]
    return matched


def _by_file_name(names: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[PurePosixPath(name).name].append(name)
    return groups
