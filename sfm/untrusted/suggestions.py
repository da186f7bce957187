"""What somebody probably meant who wrote a name that is not known."""

import difflib
from collections.abc import Iterable

_MIN_START = 3
_LONGEST = 200


def nearest(word: str, known: Iterable[str], *, count: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known names that a word begins or resembles, best first.

    Args:
        word: as it was written.
        known: names.
        count: of names, at most.
        cutoff: likeness from which a name counts, in [0, 1].
    """
    word, names = word[:_LONGEST], list(known)
    begun = [name for name in names if len(word) >= _MIN_START and name.startswith(word)]
    alike = difflib.get_close_matches(word, names, n=count, cutoff=cutoff)
    return list(dict.fromkeys([*alike, *begun]))[:count]
