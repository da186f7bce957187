"""The rotary embedding against stored results, its definition in complex numbers, and its properties."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from kernels.rope2d import rope2d

FIXTURES = Path(__file__).parent / "data" / "rope.npz"


def tokens(batch: int, heads: int, count: int, channels: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random head channels and positions on a grid of 40x40."""
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, heads, count, channels, generator=random)
    return x, torch.randint(0, 40, (batch, count, 2), generator=random)


def by_definition(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Channels i and i + D/2 of each half of D are a complex number that turns with one axis; in float64."""
    out = torch.empty(x.shape, dtype=torch.float64)
    half = x.shape[-1] // 2
    for axis in range(2):
        part = x[..., axis * half : (axis + 1) * half].double()
        numbers = torch.complex(part[..., : half // 2], part[..., half // 2 :])
        speed = torch.tensor([base ** (-2 * i / half) for i in range(half // 2)], dtype=torch.float64)
        angles = positions[:, None, :, axis, None].double() * speed
        turned = numbers * torch.polar(torch.ones_like(angles), angles)
        out[..., axis * half : (axis + 1) * half] = torch.cat((turned.real, turned.imag), dim=-1)
    return out


def test_stored_results() -> None:
    with np.load(FIXTURES) as stored:
        names = [key.removesuffix("__in") for key in stored.files if key.endswith("__in")]
        for name in names:
            x, positions, expected = (torch.from_numpy(stored[f"{name}__{k}"]) for k in ("in", "pos", "out"))

            turned = rope2d(x, positions, base=float(stored[f"{name}__base"]))

            assert_close(turned, expected, atol=5e-7, rtol=0)
    assert len(names) == 4


@given(
    st.integers(0, 3), st.integers(1, 3), st.integers(0, 20), st.integers(1, 9), st.sampled_from([100.0, 1e4])
)
def test_definition(batch: int, heads: int, count: int, quarter: int, base: float) -> None:
    x, positions = tokens(batch, heads, count, 4 * quarter)

    turned = rope2d(x, positions, base=base)

    assert turned.shape == x.shape
    assert_close(turned.double(), by_definition(x, positions, base), atol=2e-5, rtol=0)


def test_the_origin_is_left_as_it_is() -> None:
    x, positions = tokens(1, 2, 5, 64)

    assert torch.equal(rope2d(x, torch.zeros_like(positions)), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_type_is_rotated_by_float32_angles_and_rounded_once(dtype: torch.dtype) -> None:
    x, positions = tokens(2, 3, 11, 24)
    x = x.to(dtype)

    turned = rope2d(x, positions)

    assert turned.dtype == dtype
    if dtype == torch.float64:
        assert_close(turned, by_definition(x, positions, 100.0), atol=2e-5, rtol=0)
    else:
        assert torch.equal(turned, rope2d(x.float(), positions).to(dtype))


def test_views_into_fused_projections_and_shared_positions() -> None:
    fused = torch.randn(2, 7, 3, 4, 16)
    queries = fused[:, :, 0].transpose(1, 2)
    before = fused.clone()
    _, positions = tokens(1, 1, 7, 4)

    turned = rope2d(queries, positions)

    assert turned.is_contiguous()
    assert torch.equal(turned, rope2d(queries.contiguous(), positions.expand(2, -1, -1)))
    assert torch.equal(turned, rope2d(queries, positions.int()))
    assert torch.equal(fused, before)


def test_tables_made_in_inference_mode_serve_training() -> None:
    x, positions = tokens(1, 1, 3, 44)
    with torch.inference_mode():
        rope2d(x, positions)

    weights = torch.ones(1, requires_grad=True)
    (rope2d(x, positions) * weights).sum().backward()

    assert weights.grad is not None


@pytest.mark.parametrize(
    ("shape", "positions"),
    [
        ((1, 1, 2, 6), torch.zeros(1, 2, 2, dtype=torch.int64)),
        ((1, 2, 8), torch.zeros(1, 2, 2, dtype=torch.int64)),
        ((1, 1, 2, 8), torch.zeros(1, 3, 2, dtype=torch.int64)),
        ((3, 1, 2, 8), torch.zeros(2, 2, 2, dtype=torch.int64)),
        ((1, 1, 2, 8), torch.zeros(1, 2, 2)),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, ...], positions: Tensor) -> None:
    with pytest.raises(ValueError, match="rope2d"):
        rope2d(torch.zeros(shape), positions)
