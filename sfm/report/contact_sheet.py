"""OUT/query.html: what each query found, as one page that needs no network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sfm.files.atomic import atomic_write_bytes
from sfm.pairs.queries import Answer, Found
from sfm.report.templates import now, template
from sfm.report.thumbnails import thumbnail_uris

_LEAST_SCORE = 1e-4
"""Bars begin here: photos that have a few words in common by chance come to more."""


@dataclass(frozen=True, slots=True)
class _Hit:
    rank: int
    name: str
    score: float
    bar: float
    """Length of the bar, per cent: the score on a logarithmic scale, the same on all sheets."""
    thumbnail: str
    status: str
    """`verified`, `refused` or `proposed`; empty for a pair that isn't in the scene graph."""
    words: str


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    thumbnail: str
    where: str
    hits: tuple[_Hit, ...]
    counts: str
    note: str


def write_contact_sheet(
    out: Path, answers: Sequence[Answer], *, num_photos: int, top: int, has_graph: bool
) -> Path:
    """Write OUT/query.html, with `top` hits a query; that of an earlier query is replaced.

    `has_graph` is whether any pair has been proposed; if not, none is listed as missing.

    Raises:
        WorkspaceError: the file cannot be written.
    """
    html = template("sheet.html").render(
        title=out.absolute().name,
        date=now(),
        sections=[_section(answer, out, num_photos, top, has_graph) for answer in answers],
        num_photos=num_photos,
    )
    # A name may hold bytes that are no UTF-8; the page shows a question mark for them.
    atomic_write_bytes(out / "query.html", html.encode("utf-8", errors="replace"))
    return out / "query.html"


def _section(answer: Answer, out: Path, num_photos: int, top: int, has_graph: bool) -> _Section:
    names = [found.name for found in answer.found]
    # The query's own picture goes by the empty name, since it may bear the name of a photo found.
    own, *others = thumbnail_uris(["", *names], {**answer.thumbnails, "": answer.picture}, out / "images")
    has_pairs = has_graph and answer.in_collection
    hits = [_hit(found, uri, has_pairs) for found, uri in zip(answer.found, others, strict=True)]
    return _Section(
        answer.name,
        own,
        _where(answer),
        tuple(hits),
        _counts(answer) if has_pairs else "",
        note(answer, num_photos, top),
    )


def _hit(found: Found, uri: str, has_pairs: bool) -> _Hit:
    words = found.pair.words if found.pair else "not in the scene graph"
    return _Hit(
        found.rank,
        found.name,
        found.score,
        max(0.0, 100 * (1 - math.log10(found.score) / math.log10(_LEAST_SCORE))),
        uri,
        _status(found),
        words if has_pairs else "",
    )


def _status(found: Found) -> str:
    if found.pair is None:
        return ""
    return "verified" if found.pair.verified else found.pair.layer


def _where(answer: Answer) -> str:
    if answer.in_collection:
        return "a photo of the collection"
    return f"not in the collection · {counted_descriptors(answer)}"


def counted_descriptors(answer: Answer) -> str:
    """How much a photo that isn't in the collection is compared by, in words."""
    return "1 descriptor" if answer.num_descriptors == 1 else f"{answer.num_descriptors:,} descriptors"


def _counts(answer: Answer) -> str:
    states = Counter(_status(found) for found in answer.found)
    titles = {
        "verified": "verified",
        "refused": "refused",
        "proposed": "proposed",
        "": "not in the scene graph",
    }
    return " · ".join(f"{states[key]} {title}" for key, title in titles.items() if states[key])


def note(answer: Answer, num_photos: int, top: int) -> str:
    """Why a query found fewer photos than were asked for; empty when it didn't."""
    if answer.num_descriptors == 0:
        return (
            "It has no features, as blank and very blurred photos have none: nothing can be compared with it."
        )
    others = num_photos - answer.in_collection
    if not answer.found:
        who = (
            "The only other photo has nothing"
            if others == 1
            else f"None of the {others} other photos has anything"
        )
        return f"{who} in common with it."
    if (count := len(answer.found)) < min(top, others):
        return (
            f"Only {count} of {others} photos {'has' if count == 1 else 'have'} anything in common with it."
        )
    if top <= others:
        return ""
    return "There is no other photo." if others == 1 else f"These are all {others} photos."
