"""A retrieval head where the official one is missing: whitening learned from the photos' own tokens.

The published head has been trained in no other way, only on other photos (MASt3R-SfM, Duisterhof et al. 2024,
§3.1): a PCA whitening, after which a token's length says how much it stands out.
"""

import torch

from .retrieval_weights import RetrievalHeadWeights

_NUM_LOCAL = 300
_LEAST_VARIANCE = 1e-3
"""Of the largest. From few photos, directions that hardly vary are noise, which whitening would make loud."""


def fit_whitening(tokens: torch.Tensor) -> RetrievalHeadWeights:
    """The head that whitens `tokens` (n, D): mean m, matrix p = eigenvectors / sqrt(variance), float64.

    Raises:
        ValueError: fewer than two tokens.
    """
    if tokens.ndim != 2 or len(tokens) < 2:
        raise ValueError(f"at least two tokens (n, D) wanted, not {tuple(tokens.shape)}")
    x = tokens.double()
    mean = x.mean(dim=0, keepdim=True)
    variances, directions = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    variances, directions = variances.flip(0), directions.flip(1)
    floor = max(float(variances[0]) * _LEAST_VARIANCE, 1e-14)
    matrix = directions / variances.clamp(min=floor).sqrt()
    return RetrievalHeadWeights((mean, matrix), None, {}, (), False, _NUM_LOCAL)
