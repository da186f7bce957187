"""Triton's versions of the kernels against torch's, in Triton's interpreter where there is no GPU.

The interpreter's bfloat16 is wrong, so that type is left to GPUs; a program takes it a millisecond, so grids
are tiny.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

pytest.importorskip("triton", reason="triton is not installed; `make test-kernels` brings it")

from kernels.dispatch import use_backend
from kernels.nearest import nearest, nearest_torch
from kernels.nearest_triton import nearest_triton
from kernels.rope2d import rope2d

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = [torch.float32, torch.float16, pytest.param(torch.bfloat16, marks=pytest.mark.gpu)]
TOLERANCE = {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}
"""Of numbers up to 4: rounding of cosines in float32, one rounding of results in the others."""


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    random = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=random).to(DEVICE, dtype)


def whole_numbers(count: int, depth: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Exact products, many ties."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, (count, depth), generator=random).to(DEVICE, dtype)


def both(function: Callable[..., T], *arguments: object, **options: object) -> list[T]:
    """The results of torch's and of Triton's version."""
    results = []
    for backend in ("torch", "triton"):
        with use_backend(backend):
            results.append(function(*arguments, **options))
    return results


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("batch", "heads", "count", "channels"), [(2, 3, 70, 24), (1, 2, 64, 64), (2, 1, 1, 4), (1, 1, 0, 8)]
)
def test_rope2d(batch: int, heads: int, count: int, channels: int, dtype: torch.dtype) -> None:
    x = normal(batch, heads, count, channels, dtype=dtype)
    positions = torch.randint(0, 40, (batch, count, 2), device=DEVICE)

    expected, turned = both(rope2d, x, positions)

    assert turned.dtype == dtype
    assert_close(turned, expected, atol=TOLERANCE[dtype], rtol=1e-6)


def test_rope2d_of_views_and_of_shared_positions() -> None:
    queries = normal(2, 9, 3, 2, 16)[:, :, 1].transpose(1, 2)
    positions = torch.arange(18, dtype=torch.int32, device=DEVICE).view(2, 9).T[None]

    expected, turned = both(rope2d, queries, positions, base=1e4)

    assert turned.is_contiguous()
    assert_close(turned, expected, atol=1e-6, rtol=1e-6)


def test_rope2d_of_float64_stays_with_torch() -> None:
    x, positions = (
        normal(1, 1, 3, 8, dtype=torch.float64),
        torch.ones(1, 3, 2, dtype=torch.int64, device=DEVICE),
    )

    expected, turned = both(rope2d, x, positions)

    assert torch.equal(turned, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shares", [None, 1, 3])
@pytest.mark.parametrize(
    ("count", "base", "depth"), [(1, 1, 24), (70, 200, 24), (64, 64, 16), (65, 129, 3), (5, 700, 33)]
)
def test_first_nearest(count: int, base: int, depth: int, shares: int | None, dtype: torch.dtype) -> None:
    a, b = whole_numbers(count, depth, 0, dtype), whole_numbers(base, depth, 1, dtype)

    indices, similarity = nearest_triton(a, b, shares=shares)

    expected, largest = nearest_torch(a, b)
    assert indices.dtype == torch.int64
    assert torch.equal(indices, expected)
    assert torch.equal(similarity, largest)


def test_nearest_of_views_and_of_mixed_types() -> None:
    a, b = normal(24, 40).T, normal(90, 48)[:, ::2].half()

    (expected, _), (indices, _) = both(nearest, a, b)

    assert torch.equal(indices, expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 1e4, 1e30])
def test_float32_is_as_exact_as_its_own_products(scale: float) -> None:
    a, b = normal(150, 24), normal(130, 24) * scale
    a[::3] *= 1e-6

    indices, similarity = nearest_triton(a, b)

    exact = a.double() @ b.double().T
    largest = exact.amax(dim=1)
    lengths = a.double().norm(dim=1) * b.double().norm(dim=1).max()
    assert ((largest - exact.gather(1, indices[:, None]).squeeze(1)) / lengths).max() < 2e-7
    assert ((similarity.double() - largest).abs() / lengths).max() < 2e-7


def test_descriptors_without_numbers_match_nothing() -> None:
    a, b = normal(20, 24), normal(30, 24)
    a[3] = b[7] = torch.nan

    (expected, _), (indices, _) = both(nearest, a, b)

    assert indices[3] == -1
    assert torch.equal(indices, expected)


@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_for_gpus_that_are_not_here(capability: int, tmp_path: Path) -> None:
    """The compiler takes less than the interpreter; it needs no GPU, but a process that doesn't interpret."""
    code = f"""
import json, warnings; warnings.simplefilter("ignore")
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from kernels.nearest_triton import _best_of_share
from kernels.rope2d_triton import _rotate

def size(kernel, types, constants):
    types = {{name: types.get(name, "i32") for name in kernel.arg_names}}
    source = ASTSource(kernel, types | dict.fromkeys(constants, "constexpr"), constants)
    return len(triton.compile(source, target=GPUTarget("cuda", {capability}, 32)).asm["cubin"])

sizes = []
for type, split in (("fp16", True), ("fp16", False), ("bf16", False)):
    types = {{f"{{of}}_{{part}}": f"*{{type}}" for of in "ab" for part in ("high", "low")}}
    types |= {{"best": "*fp32", "index": "*i32"}}
    constants = {{"QUERIES": 128, "COLUMNS": 64, "DEPTH": 32, "SPLIT": split}}
    sizes.append(size(_best_of_share, types, constants))
for type in ("fp32", "fp16", "bf16"):
    types = {{"x": f"*{{type}}", "out": f"*{{type}}", "positions": "*i64", "frequencies": "*fp32"}}
    sizes.append(size(_rotate, types, {{"TOKENS": 64, "QUARTER": 16}}))
print(json.dumps(sizes))
"""
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)},
    )

    assert out.returncode == 0, out.stderr[-2000:]
    assert min(json.loads(out.stdout)) > 0
