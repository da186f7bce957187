"""The retrieval head: what is left out is the identity, and the strongest tokens come first."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sfm.mast3r.network.retrieval_head import RetrievalHead
from sfm.mast3r.network.retrieval_weights import RetrievalHeadWeights

PLAIN = RetrievalHeadWeights(None, None, {}, (), False, 300)
DIM = 16


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(2, 12, DIM, generator=torch.Generator().manual_seed(0))


def whitening(dim: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(1, dim, generator=generator, dtype=torch.float64),
        torch.randn(dim, dim, generator=generator, dtype=torch.float64),
    )


def test_a_head_of_nothing_returns_tokens(tokens) -> None:
    descriptors, attention = RetrievalHead(PLAIN).features(tokens)

    np.testing.assert_array_equal(descriptors, tokens)
    np.testing.assert_allclose(attention, tokens.norm(dim=-1))


def test_whitening_is_done_in_float64(tokens) -> None:
    mean, matrix = whitening(DIM, 1)
    far = tokens + 1e4

    descriptors, _ = RetrievalHead(replace(PLAIN, prewhiten=(mean + 1e4, matrix))).features(far)

    expected = (far.double() - 1e4 - mean) @ matrix
    np.testing.assert_allclose(descriptors, expected, rtol=1e-5, atol=1e-5)
    assert descriptors.dtype == torch.float32


@pytest.mark.parametrize("hidden", [(DIM,), (8, DIM), (8, 24, DIM)])
def test_a_projector_is_the_sequence_of_its_names(tokens, hidden) -> None:
    modules: list[nn.Module] = []
    for inputs, outputs in zip((DIM, *hidden), hidden, strict=False):
        modules += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs, eps=1e-5), nn.GELU()]
    sequence = nn.Sequential(*modules[:-2])
    for parameter in sequence.parameters():
        nn.init.normal_(parameter)
    weights = replace(
        PLAIN,
        projector={name: tensor.detach() for name, tensor in sequence.state_dict().items()},
        hidden_dims=hidden,
        residual=True,
        postwhiten=whitening(DIM, 2),
    )

    descriptors, attention = RetrievalHead(weights).features(tokens)

    projected = sequence(tokens).detach() + tokens
    mean, matrix = whitening(DIM, 2)
    np.testing.assert_allclose(attention, projected.norm(dim=-1), rtol=1e-5)
    np.testing.assert_allclose(descriptors, (projected.double() - mean) @ matrix, rtol=1e-4, atol=1e-4)


def test_the_strongest_come_first(tokens) -> None:
    head = RetrievalHead(replace(PLAIN, prewhiten=whitening(DIM, 1)))
    descriptors, attention = head.features(tokens)

    strongest, weights, rows = head.local(tokens, 5)

    for photo in range(2):
        order = np.argsort(-attention[photo].numpy())[:5]
        np.testing.assert_array_equal(rows[photo], order)
        np.testing.assert_array_equal(strongest[photo], descriptors[photo][order])
        np.testing.assert_array_equal(weights[photo], attention[photo][order])


@pytest.mark.parametrize(
    ("nfeat", "count", "kept"),
    [(5, None, 5), (300, None, 12), (-0.55, None, 6), (-1, None, 12), (5, 7, 7), (5, 99, 12)],
)
def test_number_of_local_descriptors(tokens, nfeat, count, kept) -> None:
    descriptors, attention, rows = RetrievalHead(replace(PLAIN, nfeat=nfeat)).local(tokens, count)

    assert descriptors.shape == (2, kept, DIM)
    assert attention.shape == rows.shape == (2, kept)


def test_pooled_descriptors_weigh_tokens_by_their_length(tokens) -> None:
    pooled = RetrievalHead(PLAIN).pooled(tokens)

    summed = (tokens.norm(dim=-1, keepdim=True) * tokens).sum(dim=1)
    np.testing.assert_allclose(pooled, summed / summed.norm(dim=-1, keepdim=True), atol=1e-6)


def test_tokens_in_half_precision_are_widened(tokens) -> None:
    descriptors, attention = RetrievalHead(PLAIN).features(tokens.bfloat16())

    assert descriptors.dtype == attention.dtype == torch.float32
    np.testing.assert_array_equal(descriptors, tokens.bfloat16().float())
