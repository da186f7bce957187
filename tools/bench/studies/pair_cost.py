"""What a pair costs the network: work counted, and time measured, ours and as published.

    python tools/bench studies.pair_cost                 counts the work of 20 photos and 100 pairs, 512 x 384
    python tools/bench studies.pair_cost --wall          and times both ways on the CPU, 256 x 192
        (beside other work with --threads 1: threads that wait for a busy core time the waiting)
    python tools/bench studies.pair_cost --device cuda   and pairs a second on a GPU, 512 x 384

The published way runs, for each pair, the encoder on both photos, the decoder in both directions and both
heads of all four views. Ours encodes each photo once; a pair costs one direction and two descriptor maps
until it is refused, both directions and four descriptor maps once it is kept, and two point maps more where
depth is wanted. Weights are random, which does not change the cost. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from harness.arguments import NO_DEVICE, missing_device
from torch.utils.flop_counter import FlopCounterMode

from sfm.mast3r.network.architecture import NetworkArchitecture
from sfm.mast3r.network.network import Mast3rNetwork
from sfm.mast3r.network.network_predictor import NetworkPredictor
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto

PUBLISHED_TFLOP = 3.028253933568
"""A pair at 512 x 384 in the authors' implementation, counted by the same counter."""
PEAK_TFLOPS = {
    "H200": 989.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10": 125.0,
    "4090": 165.0,
}
"""Dense bf16 peak by a part of the card's name, from the makers' data sheets."""

Photos = Sequence[NetworkPhoto]
Size = tuple[int, int]


def published(predictor: NetworkPredictor, a: NetworkPhoto, b: NetworkPhoto) -> None:
    """One pair with nothing kept from any other."""
    first, second = encoded(predictor, [a, b])
    for direction in ((first, second), (second, first)):
        decoded = predictor.decode([direction[0]], [direction[1]])
        for view in (1, 2):
            decoded.descriptors(view)
            decoded.points(view)


def encoded(predictor: NetworkPredictor, photos: Photos) -> list[EncodedPhoto]:
    """Photos of one size after the encoder, in one batch."""
    return [
        EncodedPhoto(photo.name, tokens, photo.size)
        for photo, tokens in zip(photos, predictor.encode(photos), strict=True)
    ]


def refused(predictor: NetworkPredictor, a: Sequence[EncodedPhoto], b: Sequence[EncodedPhoto]) -> None:
    """Pairs of which one direction was enough."""
    decoded = predictor.decode(a, b)
    for view in (1, 2):
        decoded.descriptors(view)


def kept(
    predictor: NetworkPredictor, a: Sequence[EncodedPhoto], b: Sequence[EncodedPhoto], *, depth: bool = False
) -> None:
    """Pairs wanted in both directions, with each photo's own depth or without."""
    for first, second in ((a, b), (b, a)):
        decoded = predictor.decode(first, second)
        for view in (1, 2):
            decoded.descriptors(view)
        if depth:
            decoded.points(1)


def count(photos: int, pairs: int, size: Size) -> dict[str, object]:
    """Operations a pair, from a run on tensors without data."""
    with torch.device("meta"):
        predictor = NetworkPredictor(Mast3rNetwork(NetworkArchitecture()).eval(), "count")
    pictures = random_photos(photos, size)
    encoder = _tflop(lambda: predictor.encode(pictures)) / pairs
    tokens = encoded(predictor, pictures)
    chosen = np.random.default_rng(0).integers(photos, size=(pairs, 2))
    a, b = ([tokens[i] for i in column] for column in chosen.T)
    theirs = _tflop(lambda: published(predictor, *pictures[:2]))
    ours = {
        "refused": encoder + _tflop(lambda: refused(predictor, a, b)) / pairs,
        "kept": encoder + _tflop(lambda: kept(predictor, a, b)) / pairs,
        "kept_with_depth": encoder + _tflop(lambda: kept(predictor, a, b, depth=True)) / pairs,
    }
    return {
        "size": f"{size[1]}x{size[0]}",
        "photos": photos,
        "pairs": pairs,
        "published_way_tflop": round(theirs, 4),
        "published_way_in_authors_code_tflop": round(PUBLISHED_TFLOP, 4) if size == (384, 512) else None,
        "encoder_share_tflop": round(encoder, 4),
        "tflop": {name: round(value, 4) for name, value in ours.items()},
        "percent": {name: round(100 * value / theirs, 2) for name, value in ours.items()},
    }


def wall(photos: int, pairs: int, size: Size, repeats: int) -> dict[str, object]:
    """Seconds on the CPU in float32, one pair at a time, both ways by turns; medians."""
    predictor = NetworkPredictor(random_network(torch.device("cpu")), "wall")
    a, b = random_photos(2, size)
    first, second = encoded(predictor, [a]), encoded(predictor, [b])
    ways: dict[str, Callable[[], object]] = {
        "published": lambda: published(predictor, a, b),
        "encode_one": lambda: predictor.encode([a]),
        "refused": lambda: refused(predictor, first, second),
        "kept": lambda: kept(predictor, first, second),
        "kept_with_depth": lambda: kept(predictor, first, second, depth=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    published(predictor, a, b)
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(_seconds(way))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    share = median["encode_one"] * photos / pairs
    total = {name: median[name] + share for name in ("refused", "kept", "kept_with_depth")}
    return {
        "size": f"{size[1]}x{size[0]}",
        "threads": torch.get_num_threads(),
        "repeats": repeats,
        "photos_per_pair": photos / pairs,
        "median_s": {name: round(value, 3) for name, value in median.items()},
        "pair_s": {name: round(value, 3) for name, value in total.items()},
        "times_faster": {name: round(median["published"] / value, 2) for name, value in total.items()},
    }


def throughput(arguments: argparse.Namespace, photos: int, pairs: int, size: Size) -> dict[str, object]:
    """Kept pairs a second on a device: half precision in batches, and float32 one by one as published."""
    device = torch.device(arguments.device)
    pictures = random_photos(photos, size)
    network = random_network(device)
    slow = NetworkPredictor(network, "float32", allow_tf32=arguments.tf32)
    published(slow, *pictures[:2])
    few = range(0, min(photos, 2 * arguments.repeats) - 1, 2)
    one = statistics.median(
        _seconds(lambda i=i: published(slow, pictures[i], pictures[i + 1]), device) for i in few
    )
    network.set_precision(torch.bfloat16, descriptors=getattr(torch, arguments.descriptors))
    if arguments.compile:
        network.compile_blocks()
    fast = NetworkPredictor(network, "bfloat16")
    chosen = np.random.default_rng(0).integers(photos, size=(pairs, 2))

    def all_pairs() -> None:
        tokens: list[EncodedPhoto] = []
        for i in range(0, photos, arguments.batch):
            tokens += encoded(fast, pictures[i : i + arguments.batch])
        for i in range(0, pairs, arguments.batch):
            a, b = ([tokens[j] for j in column] for column in chosen[i : i + arguments.batch].T)
            kept(fast, a, b)

    all_pairs()
    seconds = statistics.median(_seconds(all_pairs, device) for _ in range(arguments.repeats))
    tflop = float(count(photos, pairs, size)["tflop"]["kept"]) * pairs  # type: ignore[index]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    peak = arguments.peak_tflops or next((p for part, p in PEAK_TFLOPS.items() if part in name), None)
    return {
        "device": name,
        "size": f"{size[1]}x{size[0]}",
        "batch": arguments.batch,
        "descriptors": arguments.descriptors,
        "compiled": arguments.compile,
        "published_way_float32_pairs_a_second": round(1 / one, 3),
        "published_way_tf32": arguments.tf32,
        "kept_bf16_pairs_a_second": round(pairs / seconds, 3),
        "times_faster": round(one * pairs / seconds, 2),
        "tflops": round(tflop / seconds, 1),
        "percent_of_bf16_peak": round(100 * tflop / seconds / peak, 1) if peak else None,
    }


def random_network(device: torch.device) -> Mast3rNetwork:
    """The official architecture with random weights."""
    with torch.device("meta"):
        names = Mast3rNetwork(NetworkArchitecture()).state_dict()
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.empty(tensor.shape).normal_(0, 0.02, generator=generator)
        for name, tensor in names.items()
    }
    return Mast3rNetwork.from_tensors(NetworkArchitecture(), tensors).to(device)


def random_photos(number: int, size: Size) -> list[NetworkPhoto]:
    """Photos of noise."""
    rng = np.random.default_rng(0)
    return [NetworkPhoto(f"{i:03d}", rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for i in range(number)]


def _tflop(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def _seconds(work: Callable[[], object], device: torch.device | None = None) -> float:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> int:
    """Count, measure what was asked for, and print; 3 where there is no such device."""
    parser = argparse.ArgumentParser(description="Cost of a pair, ours and as published.")
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--wall", action="store_true", help="time both ways on the CPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of the CPU; as many as cores by default")
    parser.add_argument("--device", help="measure pairs a second there, such as cuda")
    parser.add_argument("--batch", type=int, default=16, help="pairs at once on the device")
    parser.add_argument("--descriptors", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--compile", action="store_true", help="torch.compile on the device")
    parser.add_argument(
        "--tf32", action="store_true", help="let the published way use TF32, as it does by default"
    )
    parser.add_argument("--peak-tflops", type=float, help="bf16 peak of the device, if it is not a known one")
    arguments = parser.parse_args()
    if arguments.device and (missing := missing_device(arguments.device)):
        print(f"pair_cost: {missing}; nothing was measured", file=sys.stderr)
        return NO_DEVICE
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    photos, pairs = arguments.photos, arguments.pairs
    result: dict[str, object] = {"count": count(photos, pairs, (384, 512))}
    if arguments.wall:
        result["wall"] = wall(photos, pairs, (192, 256), arguments.repeats)
    if arguments.device:
        result["throughput"] = throughput(arguments, photos, pairs, (384, 512))
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
