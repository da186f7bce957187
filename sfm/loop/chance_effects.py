"""Chances of pairs, corrected by the outcomes so far: a logistic model with random effects.

logit p = logit p0 + u_a + u_b + v, where p0 is the chance that similarity, poses or partners' partners give.
u are the effects of the two images: a blurred one verifies with fewer partners than its similarity promises.
v is the effect of what the pair would join: an image that is alone, or two parts, may show another scene and
verify with none. Their prior is normal; the most probable ones are taken (penalised quasi-likelihood,
Breslow & Clayton, JASA 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit, logit

from retrieval import Pair

_SPREAD = 0.5
"""Standard deviation of the effect of an image."""
_SPREAD_APART = 2.0
"""The same of what is apart: it shows the same scene or another one."""
_LEAST_CHANCE = 0.01
"""Chances are taken for no less, and for no more than 1 less this."""

_IMAGE, _JOIN = "image", "join"

Array = NDArray[np.float64]
Apart = Callable[[Pair], tuple[str, ...] | None]
"""What a pair would join; see `PairPlan.apart`."""


class ChanceEffects:
    """The effects of images, and of what pairs would join."""

    def __init__(self, chances: Mapping[Pair, float], outcomes: Mapping[Pair, float], apart: Apart) -> None:
        """Fit them.

        Args:
            chances: of all pairs tried, before correction.
            outcomes: of those of them that verified, the probability to be true.
            apart: what a pair would join.
        """
        self._apart = apart
        pairs = sorted(chances)
        groups = [self._groups(pair) for pair in pairs]
        self._place = {group: i for i, group in enumerate(sorted({g for each in groups for g in each}))}
        columns = np.array([self._place[group] for each in groups for group in each], np.int64)
        ends = np.cumsum([0, *map(len, groups)])
        design = csr_array((np.ones(len(columns)), columns, ends), shape=(len(pairs), len(self._place)))
        spread = np.array([_SPREAD if group[0] == _IMAGE else _SPREAD_APART for group in self._place])
        base = _logits(np.array([chances[pair] for pair in pairs], np.float64))
        outcome = np.array([outcomes.get(pair, 0.0) for pair in pairs], np.float64)

        def cost(effects: Array) -> tuple[float, Array]:
            z = base + design @ effects
            value = np.sum(np.logaddexp(0, z) - outcome * z) + np.sum((effects / spread) ** 2) / 2
            return float(value), np.asarray(design.T @ (expit(z) - outcome) + effects / spread**2)

        start = np.zeros(len(self._place))
        self._effects = (
            np.asarray(minimize(cost, start, jac=True, method="L-BFGS-B").x, np.float64) if pairs else start
        )

    def corrected(self, chances: Mapping[Pair, float]) -> dict[Pair, float]:
        """The same pairs with corrected chances, to six digits."""
        if not chances:
            return {}
        effects = [
            sum(float(self._effects[self._place[group]]) for group in self._groups(p) if group in self._place)
            for p in chances
        ]
        values = expit(_logits(np.array(list(chances.values()))) + np.array(effects))
        return {pair: round(float(value), 6) for pair, value in zip(chances, values, strict=True)}

    def _groups(self, pair: Pair) -> list[tuple[str, ...]]:
        """What has an effect on a pair: its two images, and what it would join."""
        joined = self._apart(pair)
        return [(_IMAGE, pair.a), (_IMAGE, pair.b)] + ([(_JOIN, *joined)] if joined else [])


def _logits(chances: Array) -> Array:
    return np.asarray(logit(np.clip(chances, _LEAST_CHANCE, 1 - _LEAST_CHANCE)), np.float64)
