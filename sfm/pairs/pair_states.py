"""How far each pair of a workspace has come: proposed, matched, verified; read without disturbing a run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from retrieval import Edge, Pair, Reason
from sfm.colmap.database import FeatureDatabase, PairRecord
from sfm.errors import InputError
from sfm.pairs.first_pairs import stored_edges
from sfm.pairs.history import Event
from sfm.workspace.events import read_events

PROPOSED, REFUSED = "proposed", "refused"
_REASONS = frozenset(Reason)
UNKNOWN = "unknown"
"""Reason of pairs that only the database records."""


@dataclass(frozen=True, slots=True)
class PairState:
    """One pair: why it was proposed, and its result."""

    edge: Edge | None
    """None where a pair was matched for an unknown reason."""
    record: PairRecord | None
    """None for pairs that have not been matched."""

    @property
    def reason(self) -> str:
        """A `retrieval.Reason`, or `unknown`."""
        return UNKNOWN if self.edge is None else str(self.edge.reason)

    @property
    def matched(self) -> bool:
        """Whether the database holds its matches and the result of their verification."""
        return self.record is not None

    @property
    def verified(self) -> bool:
        """Whether it is in the view graph."""
        return self.record is not None and self.record.verified

    @property
    def num_inliers(self) -> int:
        """Matches that agree with one two-view geometry; 0 for pairs that are not verified."""
        return self.record.num_inliers if self.record is not None and self.verified else 0

    @property
    def layer(self) -> str:
        """Layer of a picture: the reason of verified pairs, `refused` or `proposed`."""
        if self.verified:
            return self.reason
        return REFUSED if self.matched else PROPOSED

    @property
    def words(self) -> str:
        """The state in words."""
        if self.verified:
            return f"verified, {self.num_inliers} inliers"
        return "matched, refused" if self.matched else f"proposed ({self.reason})"


def read_pair_states(out: Path) -> tuple[tuple[str, ...], dict[Pair, PairState]]:
    """Names of all photos, sorted, and their pairs, of a finished run or one that came part of the way.

    Raises:
        InputError: OUT has no database, or a record of proposed pairs is damaged.
        WorkspaceError: the database is not one of COLMAP's.
    """
    if not (out / "database.db").is_file():
        raise InputError(
            f"{out}: no database there", hint="give the output folder of `sfm run`, `match` or `retrieve`"
        )
    database = FeatureDatabase(out / "database.db", read_only=True)
    names = tuple(sorted(database.image_ids()))
    return names, pair_states(known_edges(out), database.pairs(), names)


def known_edges(out: Path) -> dict[Pair, Edge]:
    """Every pair that is on record as proposed, first graph and requests of the closed loop.

    Raises:
        InputError: a record is damaged.
    """
    events: Iterable[Event] = read_events(out / "cache" / "events.jsonl")
    requested = {
        Pair.of(event["a"], event["b"]): Edge(
            min(max(event["gain"], 0.0), 1.0), Reason(event["reason"]), event["round"]
        )
        for event in events
        if event.get("event") == "request" and event["reason"] in _REASONS
    }
    return {**requested, **stored_edges(out / "cache")}


def pair_states(
    edges: Mapping[Pair, Edge], records: Mapping[Pair, PairRecord], names: tuple[str, ...]
) -> dict[Pair, PairState]:
    """Both put together, in order; pairs of photos that are no longer there are left out."""
    known = frozenset(names)
    pairs = sorted(pair for pair in {*edges, *records} if pair.a in known and pair.b in known)
    return {pair: PairState(edges.get(pair), records.get(pair)) for pair in pairs}
