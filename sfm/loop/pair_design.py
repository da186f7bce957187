"""Expected information of pairs about the poses of all images: D-optimal design on the view graph.

Each image has a weak prior of its pose, and each verified pair measures the poses of its two images relative
to each other. L is the Laplacian of conductances, e the prior. A pair of conductance w that verifies raises
the log determinant of L + e I by log(1 + w R), where R is the variance of one image as seen from the other
(Khosoussi et al., "Reliable graphs for SLAM", IJRR 2019). It is some 14 nats between images that nothing
connects, one where a single pair does, and little among many neighbours. So one measure serves images that
are alone, parts that are apart, images that few pairs hold, and loops that are open.

A verified pair does not always join what is apart, so that more than one is asked for. Each one that
registration did not join makes the next less likely to (Laplace's rule of succession).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

import numpy as np
from scipy.sparse.linalg import splu

from retrieval import Pair

from .network import Array, Network
from .pair_plan import Candidate, PairPlan

MIN_GAIN = 0.3
"""Expected information, in nats, below which a pair is not matched."""
_PRIOR = 1e-6
"""Conductance of the prior: a pair of 100 inliers holds an image to a thousandth of the extent."""
_PRICE_AGAIN = 2.0
"""Times as much information is wanted of a pair for the stronger matcher, which takes longer."""
_JOINS = 2 / 3
"""Chance that a verified pair joins what was apart."""
_MOST_CANDIDATES = 3000
"""Of a round, those of the highest gains."""
_MOST_EXACT = 4000
"""Variances that are computed with a column of the network each; more are estimated."""
_PROJECTIONS = 64
"""Random projections of an estimate, whose relative error is then a sixth."""


def promising(plan: PairPlan) -> PairPlan:
    """The plan with the candidates that may come to be worth a pair; a worth of their own is kept."""
    free = [one for one in plan.candidates if one.worth is None]
    chances = {one: one.chance for one in free}
    poses = _Poses(plan.conductance, {name for one in free for name in one.pair})
    variances = poses.variances([one.pair for one in free])
    gains = _values(plan, chances, {}) * np.log1p(_conductances(chances) * variances)
    ranked = sorted(zip((-np.round(gains, 6)).tolist(), range(len(free)), strict=True))[:_MOST_CANDIDATES]
    # outcomes of this round may raise the chance of a pair
    kept = {free[k] for gain, k in ranked if -gain >= MIN_GAIN / 2}
    return replace(
        plan, candidates=tuple(one for one in plan.candidates if one.worth is not None or one in kept)
    )


class PairDesign:
    """Gains of candidates, each given the ones chosen before it; deterministic."""

    def __init__(
        self, plan: PairPlan, candidates: Mapping[Candidate, float], links: Mapping[Pair, float]
    ) -> None:
        """Measure all gains.

        Args:
            plan: of the round.
            candidates: those without a worth of their own, with their chances as they are by now.
            links: conductance of each pair that verified in this round.
        """
        self.candidates = list(candidates)
        pairs = [one.pair for one in self.candidates]
        held = {**plan.conductance, **{pair: w for pair, w in links.items() if not plan.apart(pair)}}
        poses = _Poses(held, {name for pair in pairs for name in pair})
        self._chance = np.array(list(candidates.values()))
        self._conductance = _conductances(candidates)
        self._joins = [plan.apart(pair) for pair in pairs]
        self._is_apart = np.array([join is not None for join in self._joins], bool)
        self._value = _values(plan, candidates, links)
        self._gram = poses.covariances(pairs)
        self._first = self._information()

    def gains(self) -> Array:
        """(K,) expected information of each candidate, in nats; 0 for what was chosen."""
        return np.round(self._value * np.where(self._is_apart, self._first, self._information()), 6)

    def choose(self, pair: Pair) -> None:
        """Count a pair as matched, of which it is not known yet whether it verifies."""
        same = [k for k, one in enumerate(self.candidates) if one.pair == pair]
        if not same:
            return
        k = same[0]
        chance, column = float(self._chance[k]), self._gram[:, k].copy()
        weight = chance * float(self._conductance[k])
        # Sherman and Morrison: the pair is in the network now, with its expected conductance
        self._gram -= np.outer(column, column) * (weight / (1 + weight * max(float(column[k]), 0.0)))
        if self._joins[k] is not None:
            self._value[[join == self._joins[k] for join in self._joins]] *= 1 - _JOINS * chance
        self._value[same] = 0.0

    def _information(self) -> Array:
        """(K,) log(1 + w R) of each candidate that verifies."""
        return np.asarray(np.log1p(self._conductance * np.maximum(np.diagonal(self._gram), 0.0)), np.float64)


def _conductances(chances: Mapping[Candidate, float]) -> Array:
    """(K,) of each candidate if it verifies: those that are less likely to have fewer inliers, too."""
    return np.array([one.most_conductance * chance**2 for one, chance in chances.items()])


def _values(plan: PairPlan, candidates: Mapping[Candidate, float], links: Mapping[Pair, float]) -> Array:
    """(K,) what the information of each counts for: its chance, also to join what is apart, and its price."""
    failed, found = Counter(map(plan.apart, plan.failed_links)), Counter(map(plan.apart, links))
    values: list[float] = []
    for one, chance in candidates.items():
        join = plan.apart(one.pair)
        joins = 1.0 if join is None else (1 - _JOINS) ** found[join] / (1 + failed[join])
        values.append(chance * joins / (_PRICE_AGAIN if one.is_again else 1.0))
    return np.array(values)


class _Poses:
    """The covariance of poses, by the prior and the verified pairs."""

    def __init__(self, conductance: Mapping[Pair, float], others: Set[str]) -> None:
        self._network = Network(sorted(frozenset(others).union(*conductance)), conductance)
        self._solver = splu(self._network.laplacian(_PRIOR)) if self._network.names else None

    def covariances(self, pairs: Sequence[Pair]) -> Array:
        """(K, K) of the differences of the images of pairs, with `variances` on the diagonal."""
        columns = self._network.incidence(self._network.ends(pairs))
        return np.asarray(columns.T @ self._solved(columns), np.float64)

    def variances(self, pairs: Sequence[Pair]) -> Array:
        """(K,) of one image of each pair as seen from the other; estimates where there are very many.

        Estimates are by random projections (Spielman & Srivastava, "Graph sparsification by effective
        resistances", SIAM J. Comput. 2011).
        """
        network, ends = self._network, self._network.ends(pairs)
        if len(pairs) <= _MOST_EXACT:
            columns = network.incidence(ends)
            return np.asarray(np.einsum("nk,nk->k", columns, self._solved(columns)), np.float64)
        num_held = len(network.held)
        shape = num_held + len(network.names), _PROJECTIONS
        signs = np.random.default_rng(0).choice((-1.0, 1.0), shape) / np.sqrt(_PROJECTIONS)
        noise = np.sqrt(_PRIOR) * signs[num_held:]
        steps = np.sqrt(network.weights)[:, None] * signs[:num_held]
        np.add.at(noise, network.held[:, 0], steps)
        np.add.at(noise, network.held[:, 1], -steps)
        poses = self._solved(noise)
        return np.asarray(np.sum((poses[ends[:, 0]] - poses[ends[:, 1]]) ** 2, axis=1), np.float64)

    def _solved(self, columns: Array) -> Array:
        return np.asarray(self._solver.solve(columns) if self._solver else columns, np.float64)
