"""Triton's versions of the kernels against torch's, on a CUDA device.

    python tools/bench studies.kernel_speed [--repeats 50 --batch 16]

RoPE2D on the queries of a batch of 512x384 images in every precision; nearest neighbours, among the 196,608
pixels of a 512x384 map of 24 channels, of a grid of 3,072 pixels, of 50, and of all pixels of another map.
Results are compared first: rotations by their largest difference, neighbours by the share that differs from
torch's float32. Medians and 90th percentiles of CUDA events after a warm-up. The last line is JSON. Exits
with 3 where there is no CUDA device or no triton, with 1 where results differ by more than rounding explains.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import torch
from harness.arguments import NO_DEVICE
from torch import Tensor
from torch.nn import functional

from kernels.dispatch import has_triton, use_backend
from kernels.nearest import nearest_torch
from kernels.rope2d import rope2d

DEVICE = "cuda"
HEIGHT, WIDTH, DEPTH, SUBSAMPLE = 384, 512, 24, 8
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 4e-2}
"""Of rotated numbers, most of them below 4: one unit in the last place, with a margin."""
LARGEST_SHARE = 1e-3
"""Neighbours that may differ through rounding alone; those of TF32 are reported, not judged."""
Row = dict[str, object]


def timed(function: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and 90th percentile, ms."""
    for _ in range(5):
        function()
    events = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in events:
        start.record()
        function()
        end.record()
    torch.cuda.synchronize()
    times = torch.tensor([start.elapsed_time(end) for start, end in events])
    return round(times.quantile(0.5).item(), 4), round(times.quantile(0.9).item(), 4)


def row(name: str, function: Callable[[], object], repeats: int, **figures: object) -> Row:
    """One line of the table."""
    median, high = timed(function, repeats)
    return {"name": name, "median_ms": median, "p90_ms": high, **figures}


def rotations(batch: int, repeats: int) -> list[Row]:
    """RoPE2D of queries that are a view into a fused projection, as the encoder has them."""
    grid = torch.cartesian_prod(torch.arange(HEIGHT // 16), torch.arange(WIDTH // 16))[None].to(DEVICE)
    rows = []
    for dtype in TOLERANCE:
        fused = torch.randn(batch, grid.shape[1], 3, 16, 64, device=DEVICE).to(dtype)
        queries = fused[:, :, 0].transpose(1, 2)
        results: dict[str, Tensor] = {}
        for backend in ("torch", "triton"):
            with use_backend(backend):
                results[backend] = rope2d(queries, grid)
                error = (results[backend].float() - results["torch"].float()).abs().max().item()
                moved = 2 * queries.numel() * queries.element_size()
                found = row(
                    f"rope2d {dtype} {backend}",
                    lambda queries=queries: rope2d(queries, grid),
                    repeats,
                    largest_difference=error,
                    passed=error <= TOLERANCE[dtype],
                )
            found["gb_per_s"] = round(moved / float(str(found["median_ms"])) / 1e6)
            rows.append(found)
    return rows


def neighbours(repeats: int) -> list[Row]:
    """Nearest neighbours of a grid, and of all pixels, in each precision of the Triton version."""
    from kernels.nearest_triton import nearest_triton

    maps = (functional.normalize(torch.randn(HEIGHT * WIDTH, DEPTH, device=DEVICE), dim=1) for _ in range(2))
    first, second = maps
    grid = first.view(HEIGHT, WIDTH, DEPTH)[SUBSAMPLE // 2 :: SUBSAMPLE, SUBSAMPLE // 2 :: SUBSAMPLE]
    rows = []
    for name, queries, count in (
        ("of a grid", grid.reshape(-1, DEPTH), repeats),
        ("of 50", grid.reshape(-1, DEPTH)[:50], repeats),
        ("of all", first, 3),
    ):
        expected = nearest_torch(queries, second)[0]
        halves = queries.half(), second.half()
        versions: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
            "torch float32": lambda q=queries: nearest_torch(q, second),
            "triton ieee": lambda q=queries: nearest_triton(q, second, precision="ieee"),
            "triton tf32x3": lambda q=queries: nearest_triton(q, second, precision="tf32x3"),
            "triton tf32": lambda q=queries: nearest_triton(q, second, precision="tf32"),
            "triton float16": lambda h=halves: nearest_triton(*h),
        }
        for version, function in versions.items():
            differing = (function()[0] != expected).float().mean().item()
            judged = version in ("torch float32", "triton ieee", "triton tf32x3")
            rows.append(
                row(
                    f"nearest {name} {version}",
                    function,
                    count,
                    differing_share=differing,
                    passed=not judged or differing <= LARGEST_SHARE,
                )
            )
            flops = 2 * len(queries) * len(second) * DEPTH
            rows[-1]["tflops"] = round(flops / float(str(rows[-1]["median_ms"])) / 1e9, 2)
    return rows


def main() -> int:
    """Compare, time, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Speed of kernels on a CUDA device.")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--batch", type=int, default=16, help="images in the batch of RoPE2D")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() or not has_triton():
        missing = "triton" if torch.cuda.is_available() else "CUDA device"
        print(f"kernel_speed: no {missing} here; nothing was measured", file=sys.stderr)
        return NO_DEVICE
    torch.backends.cuda.matmul.allow_tf32 = False
    with torch.inference_mode():
        rows = rotations(arguments.batch, arguments.repeats) + neighbours(arguments.repeats)
    for line in rows:
        print("  ".join(f"{key}={value}" for key, value in line.items()))
    device = torch.cuda.get_device_name()
    print(
        json.dumps({"device": device, "torch": torch.__version__, "cuda": torch.version.cuda, "rows": rows})
    )
    return 0 if all(line["passed"] for line in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
