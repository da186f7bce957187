"""Rules: which pairs are missing in a view graph and its models. Pure: nothing is matched here.

Before registration, the rules read the view graph alone: images with few verified pairs, and separate
components. Afterwards they read the models, too: unregistered images, separate models, weak images, and loop
closures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import combinations, islice

import numpy as np

from retrieval import Pair, Reason

from .loop_closures import INLIERS_OF_ONE
from .loop_state import LoopState
from .requests import PRICE_AGAIN, Candidate, PairRequest

_PHOTO = 2.0
"""Worth of a pair that registers an image."""
_HOLDS = 1.0
"""Worth of a further pair for a registered image with few firm ones, whose pose may be wrong."""
_FIRM_DEGREE = 3
"""Verified partners of a well-connected image: of two, either may be wrong."""
_HELD_DEGREE = 2
"""The same for a registered image."""
_ENOUGH_DEGREE = 5
"""Partners above which an image with few observations gets no request."""
_PER_PHOTO = 12
"""Candidates by rank for an image without partner or model in each round, at most."""
_PER_WEAK = 4
_PER_MODEL_PAIR = 8
_MAX_MODEL_PAIRS = 20
_PER_CUT = 6
_FIRST_CHANCE = 0.6
"""Of the best pair across two parts."""
_LEAST_CHANCE = 0.02
_DECAY = 0.88
"""Of the chance, from each rank to the next."""
_FEW_OBSERVATIONS = 0.2
"""Of a model's median: images with fewer are weak."""


def propose_requests(now: LoopState) -> list[PairRequest]:
    """Requests for all present weaknesses, in deterministic order.

    Candidates are untried pairs, or tried ones for the stronger matcher.
    """
    rules = (
        [_unregistered, _between_models, _again, _loosely_held, _across_cuts, _weak, _loops]
        if now.after_registration
        else [_unmatched, _between_parts, _again, _across_cuts, _thinly_matched, _loops]
    )
    return [request for rule in rules for request in rule(now) if request.candidates]


def _unmatched(now: LoopState) -> Iterator[PairRequest]:
    """Images without any verified pair x their next ranks."""
    for name in now.graph.names:
        if now.graph.degree(name) == 0:
            candidates = tuple(_by_rank(now, name, now.alike(name, _PER_PHOTO)))
            yield PairRequest(Reason.UNREGISTERED, (name,), candidates, wanted=2, worth=_PHOTO)


def _thinly_matched(now: LoopState) -> Iterator[PairRequest]:
    """Images with few verified pairs x their partners' partners, and x their next ranks."""
    for name in now.graph.names:
        degree = now.graph.degree(name)
        if 0 < degree < _FIRM_DEGREE:
            candidates = _merged(
                _along_paths(now, name, now.second_neighbours(name, _PER_WEAK)),
                _by_rank(now, name, now.alike(name, _PER_WEAK)),
            )
            wanted = _FIRM_DEGREE - degree
            yield PairRequest(Reason.LOW_OVERLAP, (name,), candidates, wanted, worth=0.5 / degree)


def _between_parts(now: LoopState) -> Iterator[PairRequest]:
    """Components of the view graph x the most similar images of other components."""
    parts = [part for part in now.graph.components() if len(part) > 1]
    linked = frozenset().union(*parts)
    for part in parts[1:]:
        candidates = _across(now, sorted(part), linked - part)
        worth = float(np.log1p(len(part)))
        yield PairRequest(Reason.BRIDGE, (min(part),), candidates, wanted=2, worth=worth)


def _unregistered(now: LoopState) -> Iterator[PairRequest]:
    """Unregistered images x next ranks, and x partners' partners."""
    everyone = frozenset(now.graph.names)
    targets = now.registered or everyone
    for name in sorted(everyone - now.registered):
        candidates = _merged(
            _along_paths(now, name, now.second_neighbours(name, _PER_PHOTO, targets)),
            _by_rank(now, name, now.alike(name, _PER_PHOTO, targets)),
        )
        yield PairRequest(Reason.UNREGISTERED, (name,), candidates, wanted=_FIRM_DEGREE, worth=_PHOTO)


def _between_models(now: LoopState) -> Iterator[PairRequest]:
    """Two models x their most similar images, and x partners' partners where few pairs cross already.

    The two may be different scenes, so that each round requests few pairs.
    """
    for first, second in islice(combinations(now.members, 2), _MAX_MODEL_PAIRS):
        small, large = sorted((first, second), key=len)
        candidates = _merged(
            _across(now, sorted(small), large.keys()),
            *(
                _along_paths(now, name, now.second_neighbours(name, _PER_WEAK, large.keys()))
                for name in sorted(small)
            ),
        )
        worth = float(np.log1p(len(small)))
        yield PairRequest(Reason.BRIDGE, (min(small), min(large)), candidates, wanted=3, worth=worth)


def _again(now: LoopState) -> Iterator[PairRequest]:
    """Images outside of all models, or of all parts of the view graph, and two of these, x their tried pairs.

    A stronger matcher is worth its price where nothing else has helped. Its keypoints have points only where
    it matched registered images, too: once all pairs of an image are matched, those between its partners are.
    """
    if not now.again:
        return
    graph = [part for part in now.graph.components() if len(part) > 1]
    parts = [frozenset(photos) for photos in now.members] if now.after_registration else graph
    within = frozenset().union(*parts)
    for name in sorted(frozenset(now.graph.names) - within):
        partners = within.intersection(now.graph.neighbours(name))
        pairs = [pair for pair in now.again if name in pair]
        pairs = pairs or [pair for pair in now.again if partners.issuperset(pair)]
        yield PairRequest(
            Reason.UNREGISTERED, (name,), _dearly(now, pairs), _FIRM_DEGREE, _PHOTO, is_again=True
        )
    for first, second in islice(combinations(parts, 2), _MAX_MODEL_PAIRS):
        small, large = sorted((first, second), key=len)
        pairs = [pair for pair in now.again if len(small & {*pair}) == 1 == len(large & {*pair})]
        worth = float(np.log1p(len(small)))
        subject = (min(small), min(large))
        yield PairRequest(Reason.BRIDGE, subject, _dearly(now, pairs), 3, worth, is_again=True)


def _loosely_held(now: LoopState) -> Iterator[PairRequest]:
    """Registered images with few firm pairs x their other tried pairs, for the stronger matcher."""
    for name in sorted(now.registered if now.overlapping else ()):
        firm = {
            Pair.of(name, other)
            for other in now.graph.neighbours(name)
            if now.graph.num_inliers(name, other) >= INLIERS_OF_ONE
        }
        if len(firm) < _FIRM_DEGREE:
            found = {
                pair: chance for pair, chance in now.overlapping.items() if name in pair and pair not in firm
            }
            best = sorted(found, key=lambda pair: (-_rounded(found[pair]), pair))[:_PER_PHOTO]
            candidates = tuple(Candidate(pair, _rounded(found[pair] / PRICE_AGAIN)) for pair in best)
            wanted = _FIRM_DEGREE - len(firm)
            yield PairRequest(Reason.LOW_OVERLAP, (name,), candidates, wanted, _HOLDS, is_again=True)


def _dearly(now: LoopState, pairs: Sequence[Pair]) -> tuple[Candidate, ...]:
    """Pairs for the stronger matcher, those with most matches first, with chance divided by price."""
    best = sorted(pairs, key=lambda pair: (-now.again[pair], pair))[:_PER_PHOTO]
    chances = (_FIRST_CHANCE * _DECAY**rank / PRICE_AGAIN for rank in range(len(best)))
    return tuple(Candidate(pair, _rounded(chance)) for pair, chance in zip(best, chances, strict=True))


def _across_cuts(now: LoopState) -> Iterator[PairRequest]:
    """Parts that a single verified pair connects x further pairs between the two."""
    for cut in now.graph.bridges():
        if min(now.graph.degree(cut.a), now.graph.degree(cut.b)) < 2:
            continue  # an image with one pair has its own rule
        near_a = [cut.a, *(n for n in now.graph.neighbours(cut.a) if n != cut.b)]
        near_b = [cut.b, *(n for n in now.graph.neighbours(cut.b) if n != cut.a)]
        pairs = (Pair.of(a, b) for a, b in _diagonally(near_a, near_b) if now.is_untried(a, b))
        candidates = tuple(
            Candidate(pair, _FIRST_CHANCE * _DECAY**i) for i, pair in enumerate(islice(pairs, _PER_CUT))
        )
        yield PairRequest(Reason.BRIDGE, (cut.a, cut.b), candidates, wanted=1, worth=0.8)


def _weak(now: LoopState) -> Iterator[PairRequest]:
    """Registered images with few observations or partners x partners' partners in their model."""
    for photos in now.members:
        few = _FEW_OBSERVATIONS * float(np.median(list(photos.values())))
        for name in sorted(photos):
            degree = now.graph.degree(name)
            if degree >= (_HELD_DEGREE if photos[name] >= few else _ENOUGH_DEGREE):
                continue
            candidates = _merged(
                _along_paths(now, name, now.second_neighbours(name, _PER_WEAK, photos.keys())),
                _by_rank(now, name, now.alike(name, _PER_WEAK, photos.keys())),
            )
            wanted = max(1, _HELD_DEGREE - degree)
            yield PairRequest(Reason.LOW_OVERLAP, (name,), candidates, wanted, worth=0.2)


def _loops(now: LoopState) -> Iterator[PairRequest]:
    """Loop closures."""
    for link in now.loop_closures:
        candidates = (Candidate(link.pair, link.chance),)
        yield PairRequest(
            Reason.LOOP, tuple(link.pair), candidates, 1, link.worth, is_unguided=link.is_unguided
        )


def _across(now: LoopState, part: Sequence[str], others: Set[str]) -> tuple[Candidate, ...]:
    """The most similar pairs between a part and others; similar partners raise the score of a pair."""
    score: dict[Pair, float] = {}
    depth = _PER_PHOTO * (1 + now.round)
    for name in part:
        for other, value in now.rank(name, depth):
            if other in others and now.is_untried(name, other):
                pair = Pair.of(name, other)
                score[pair] = max(score.get(pair, 0.0), value)
    expanded = {pair: value + _echo(now, pair, score) for pair, value in score.items()}
    best = sorted(expanded, key=lambda pair: (-expanded[pair], pair))[: _PER_MODEL_PAIR * now.round]
    return tuple(Candidate(pair, _FIRST_CHANCE * _DECAY**i) for i, pair in enumerate(best))


def _echo(now: LoopState, pair: Pair, score: Mapping[Pair, float]) -> float:
    """Mean similarity of the partners of either image to the other image: correct pairs come in groups."""
    values = [
        score.get(Pair.of(near, far), 0.0)
        for name, far in (pair, pair[::-1])
        for near in now.graph.neighbours(name)[:_FIRM_DEGREE]
        if near != far
    ]
    return float(np.mean(values)) if values else 0.0


def _by_rank(now: LoopState, name: str, others: Sequence[tuple[str, float]]) -> list[Candidate]:
    return [
        Candidate(Pair.of(name, other), _rounded(max(_LEAST_CHANCE, now.chance(score))))
        for other, score in others
    ]


def _along_paths(now: LoopState, name: str, found: Sequence[tuple[str, float]]) -> list[Candidate]:
    return [
        Candidate(Pair.of(name, other), _rounded(0.9 * path * now.match_rate(name)))
        for other, path in found
        if path > 0
    ]


def _merged(*lists: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Each pair once, likeliest first; the chances of two rules for the same pair are combined."""
    chance: dict[Pair, float] = {}
    for candidate in (c for part in lists for c in part):
        before = chance.get(candidate.pair, 0.0)
        chance[candidate.pair] = 1 - (1 - before) * (1 - candidate.chance)
    best = sorted(chance, key=lambda pair: (-_rounded(chance[pair]), pair))
    return tuple(Candidate(pair, _rounded(chance[pair])) for pair in best)


def _diagonally(first: Sequence[str], second: Sequence[str]) -> Iterator[tuple[str, str]]:
    """All combinations, those near the front of both lists first."""
    order = sorted((i + j, i, j) for i in range(len(first)) for j in range(len(second)))
    return ((first[i], second[j]) for _, i, j in order)


def _rounded(value: float) -> float:
    """To six digits, so that the order does not depend on the last bit of a product."""
    return round(value, 6)
