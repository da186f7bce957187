"""Pairs that could not be matched, such as for lack of memory: counted for the user, and tried again later.

The next run tries them because they are not in the database. It must not reuse rounds of the closed loop that
continued without them: `FailedPairs` gives rounds a new number once they may have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from retrieval import Pair
from sfm.files.atomic import atomic_write_json
from sfm.pairs.history import PairTry
from sfm.untrusted.documents import read_cache

_FILE = "failed_pairs.json"


@dataclass(frozen=True, slots=True)
class Failures:
    """Pairs that a run could not match, and why most of them."""

    count: int = 0
    why: str = ""
    """The commonest reason."""
    others: int = 0
    """Pairs that failed for another one."""

    @classmethod
    def of(cls, reasons: Iterable[str]) -> Failures:
        """Count pairs by their reasons."""
        counts = Counter(reasons)
        if not counts:
            return cls()
        why, most = min(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(counts.total(), why, counts.total() - most)

    @classmethod
    def among(cls, tries: Iterable[PairTry]) -> Failures:
        """Those among the pairs that a run tried."""
        return cls.of(attempt.why for attempt in tries if attempt.failed)

    @property
    def words(self) -> str:
        """One or two sentences on what failed and what to do; empty where nothing did."""
        if not self.count:
            return ""
        pairs, them = ("pair", "it") if self.count == 1 else ("pairs", "them")
        why = f" ({self.count - self.others} of them: {self.why})" if self.others else f": {self.why}"
        return (
            f"{self.count} {pairs} could not be matched{why}. The same command again tries {them} once more."
        )


@dataclass(slots=True)
class FailedPairs:
    """The pairs of a workspace that failed when they were last tried, on disk."""

    path: Path
    attempt: int
    """Grows whenever such a pair may have come right; part of what names the rounds of the loop."""
    pairs: frozenset[Pair]

    @classmethod
    def read(cls, cache_dir: Path) -> FailedPairs:
        """What is on record; where that is damaged, a generation that no run has had."""
        path = cache_dir / _FILE
        if not path.exists():
            return cls(path, 0, frozenset())
        stored = read_cache(path, {"attempt": int, "pairs": [[str]]})
        if stored is None or not all(len(set(pair)) == len(pair) == 2 for pair in stored["pairs"]):
            return cls(path, path.stat().st_mtime_ns, frozenset())
        return cls(path, stored["attempt"], frozenset(Pair.of(a, b) for a, b in stored["pairs"]))

    def note(self, tried: Set[Pair], failed: Set[Pair]) -> None:
        """Remember which of the tried pairs failed."""
        resolved = self.pairs & (tried - failed)
        self._become(self.attempt + bool(resolved), (self.pairs - tried) | failed)

    def renew(self) -> None:
        """Give the next run rounds of its own, since this one's went without something."""
        self._become(self.attempt + 1, self.pairs)

    def forget_all_but(self, tried: Set[Pair]) -> None:
        """Forget those that rounds of an earlier run asked for: they are tried when rounds ask once more."""
        self._become(self.attempt + (not self.pairs <= tried), self.pairs & tried)

    def _become(self, attempt: int, pairs: frozenset[Pair]) -> None:
        if (attempt, pairs) != (self.attempt, self.pairs):
            self.attempt, self.pairs = attempt, pairs
            atomic_write_json(self.path, {"attempt": attempt, "pairs": [list(p) for p in sorted(pairs)]})
