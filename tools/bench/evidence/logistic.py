"""Ridge logistic regression with coefficients of one sign, and how well its probabilities do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata

Reals = NDArray[np.float64]
Truth = NDArray[np.bool_]

_PENALTY = 1.0
_BINS = 10


def logistic_fit(
    features: Reals, truth: Truth, weights: Reals, *, free: Sequence[bool] = ()
) -> tuple[float, Reals]:
    """Constant and coefficients (F,) of features (N, F); not negative but where `free`.

    The penalty is on standardized features.
    """
    mean = np.average(features, axis=0, weights=weights)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights)) + 1e-6
    standard = (features - mean) / scale

    def loss(theta: Reals) -> tuple[float, Reals]:
        odds = standard @ theta[1:] + theta[0]
        residual = weights * (1 / (1 + np.exp(-odds)) - truth)
        value = weights @ (np.logaddexp(0, odds) - truth * odds) + _PENALTY / 2 * theta[1:] @ theta[1:]
        return float(value), np.r_[residual.sum(), standard.T @ residual + _PENALTY * theta[1:]]

    signs = free or [False] * features.shape[1]
    bounds = [(None, None), *((None if any_sign else 0.0, None) for any_sign in signs)]
    theta = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes = theta[1:] / scale
    return float(theta[0] - mean @ slopes), slopes


def auroc(scores: Reals, truth: Truth) -> float:
    """Area under the ROC curve; NaN where all are alike."""
    positives = int(truth.sum())
    if not 0 < positives < len(truth):
        return float("nan")
    ranks = rankdata(scores)[truth].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(truth) - positives)))


def calibration_error(chances: Reals, truth: Truth, weights: Reals) -> float:
    """Expected calibration error in ten equal bins."""
    bins = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    gaps = [
        weights[rows].sum()
        * abs(
            np.average(chances[rows], weights=weights[rows]) - np.average(truth[rows], weights=weights[rows])
        )
        for rows in (bins == i for i in range(_BINS))
        if rows.any()
    ]
    return float(sum(gaps) / weights.sum())
