"""Fast reciprocal matching against a full matrix of similarities in each step, and against all pixels.

    python tools/bench/matching_speed.py [--height 384 --width 512 --subsample 8 --repeats 3 --threads 2]

Two kinds of maps: `smooth` ones, random fields of several wavelengths, the second map a warped view of the
first with noise of its own; and `noise`, independent in every pixel. Each method runs in a process of its own
for a peak of memory of its own: the high-water mark above what it held before it began (Linux only).
`full_matrix` walks by the same rules, with one product and one arg-max over all similarities of the walks
that still move. `all_pixels` matches every pixel of both maps, blockwise. Prints JSON; exits with 1 where the
results of the walks differ.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kernels.reciprocal import MAX_ITERATIONS, DescriptorPair

DEPTH = 24
WAVELENGTHS_PX = (64, 16, 4)
NOISE = 0.1
"""Of the smooth maps, in standard deviations of their fields."""
Pairs = tuple[Tensor, Tensor]


def smooth_maps(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Unit descriptors (H, W, d) of one random surface seen twice, turned, shrunk and bent."""
    random = torch.Generator().manual_seed(0)
    field = torch.zeros(1, DEPTH, height, width)
    for wavelength in WAVELENGTHS_PX:
        nodes = [max(2, math.ceil(size / wavelength) + 1) for size in (height, width)]
        coarse = torch.randn(1, DEPTH, *nodes, generator=random)
        field += functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    places = torch.stack(
        (
            0.85 * (math.cos(0.1) * x - math.sin(0.1) * y) + 0.1 + 0.05 * torch.sin(3 * y),
            0.85 * (math.sin(0.1) * x + math.cos(0.1) * y) - 0.05 + 0.05 * torch.sin(2 * x),
        ),
        dim=-1,
    )
    moved = functional.grid_sample(field, places[None], align_corners=True, padding_mode="reflection")
    maps = (m + NOISE * field.std() * torch.randn(m.shape, generator=random) for m in (field, moved))
    first, second = (functional.normalize(m[0], dim=0).permute(1, 2, 0).contiguous() for m in maps)
    return first, second


def noise_maps(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Unit descriptors (H, W, d) that have nothing to do with each other."""
    random = torch.Generator().manual_seed(1)
    maps = (torch.randn(height, width, DEPTH, generator=random) for _ in range(2))
    first, second = (functional.normalize(m, dim=2) for m in maps)
    return first, second


def walks(maps: tuple[Tensor, Tensor], subsample: int) -> Pairs:
    """Ours."""
    found = DescriptorPair(*maps).from_grid(subsample)
    return found.first, found.second


def full_matrix(maps: tuple[Tensor, Tensor], subsample: int) -> Pairs:
    """The same walks; each step holds the similarities of all moving walks with all of the other map."""
    flat1, flat2 = (m.flatten(0, 1) for m in maps)
    starts = DescriptorPair(*maps).grid(subsample)
    here = starts[:, 0] + maps[0].shape[1] * starts[:, 1]
    there, moving = torch.full_like(here, -1), torch.ones_like(here, dtype=torch.bool)
    for _ in range(MAX_ITERATIONS):
        if not moving.any():
            break
        before = here.clone()
        there[moving] = (flat1[here[moving]] @ flat2.T).argmax(dim=1)
        here[moving] = (flat2[there[moving]] @ flat1.T).argmax(dim=1)
        moving &= here != before
    pairs = torch.unique(torch.stack((here[~moving], there[~moving]), dim=1), dim=0)
    return pairs[:, 0], pairs[:, 1]


def all_pixels(maps: tuple[Tensor, Tensor], subsample: int) -> Pairs:
    """Every reciprocal pair of the maps, whatever the subsampling."""
    found = DescriptorPair(*maps).exhaustive()
    return found.first, found.second


METHODS = {"walks": walks, "full_matrix": full_matrix, "all_pixels": all_pixels}


def peak_bytes(field: str) -> int:
    """`VmHWM`, the high-water mark of this process's memory, or `VmRSS`, what it holds now."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match
    return 1024 * int(match[1])


def child(folder: Path, method: str, arguments: argparse.Namespace) -> None:
    """Measure one method on the maps of a folder; figures on stdout, pairs in the folder."""
    torch.set_num_threads(arguments.threads)
    maps = tuple(torch.from_numpy(np.load(folder / f"{number}.npy")) for number in (1, 2))
    # Libraries allocate on their first product.
    METHODS[method]((torch.randn(40, 40, DEPTH), torch.randn(40, 40, DEPTH)), 2)
    held, wall, cpu = peak_bytes("VmRSS"), [], []
    for _ in range(1 if method == "all_pixels" else arguments.repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        pairs = METHODS[method](maps, arguments.subsample)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    extra = peak_bytes("VmHWM") - held
    np.save(folder / f"{method}.npy", torch.stack(pairs, dim=1).numpy())
    figures = {
        "seconds": statistics.median(wall),
        "cpu_seconds": statistics.median(cpu),
        "extra_bytes": extra,
    }
    print(json.dumps(figures))


def measure(kind: str, arguments: argparse.Namespace) -> dict[str, object]:
    """All methods on one kind of maps."""
    make = {"smooth": smooth_maps, "noise": noise_maps}[kind]
    record: dict[str, object] = {"maps": kind}
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, descriptors in enumerate(make(arguments.height, arguments.width), 1):
            np.save(folder / f"{number}.npy", descriptors.numpy())
        for method in METHODS:
            if method == "all_pixels" and arguments.no_all_pixels:
                continue
            command = [sys.executable, __file__, *sys.argv[1:], "--child", method, "--folder", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            figures[method] = json.loads(done.stdout)
            pairs = np.load(folder / f"{method}.npy")
            record[method] = {"pairs": len(pairs), **{key: round(v, 3) for key, v in figures[method].items()}}
        found = [
            {tuple(row) for row in np.load(folder / f"{m}.npy").tolist()} for m in ("walks", "full_matrix")
        ]
    ours, theirs = figures["walks"], figures["full_matrix"]
    record["differing_pairs"] = len(found[0] ^ found[1])
    record["times_faster"] = round(theirs["seconds"] / ours["seconds"], 2)
    record["times_faster_cpu"] = round(theirs["cpu_seconds"] / ours["cpu_seconds"], 2)
    record["share_of_memory"] = round(ours["extra_bytes"] / theirs["extra_bytes"], 4)
    if "all_pixels" in figures:
        record["times_faster_than_all_pixels"] = round(figures["all_pixels"]["seconds"] / ours["seconds"], 1)
    return record


def main() -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Speed and memory of fast reciprocal matching on the CPU.")
    parser.add_argument("--height", type=int, default=384)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--subsample", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-all-pixels", action="store_true", help="leave the longest measurement out")
    parser.add_argument("--child", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.folder, arguments.child, arguments)
        return 0
    records = [measure(kind, arguments) for kind in ("smooth", "noise")]
    summary = {
        "size": f"{arguments.width}x{arguments.height}x{DEPTH}",
        "subsample": arguments.subsample,
        "threads": arguments.threads,
        "torch": torch.__version__,
        "records": records,
    }
    print(json.dumps(summary, indent=1))
    return 0 if all(record["differing_pairs"] == 0 for record in records) else 1


if __name__ == "__main__":
    sys.exit(main())
