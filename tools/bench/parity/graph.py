"""Pair graphs: key images in order, and pairs as sets."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from retrieval.mast3r_sfm_graph import pair_graph

from .case import Case, compare, count


def cases(folder: Path) -> Iterator[Case]:
    """Every graph of `graph/graph.json`."""
    listing = folder / "graph" / "graph.json"
    if not listing.is_file():
        return
    content = json.loads(listing.read_text(encoding="utf-8"))
    with np.load(folder / "graph" / "sim.npz", allow_pickle=False) as file:
        similarities = dict(file)
    for case in content["retrieval"]:
        images, seed = case["N"], case["np_random_seed"]
        text = f"retrieval-{case['Na']}-{case['k']}"
        name = f"graph {text} of {images} images, seed {seed}:"
        graph = pair_graph(text, images, similarity=similarities[f"sim_N{images}"], seed=seed)
        yield compare(f"{name} key images", graph.key_images, case["key_images_in_order"], atol=0)
        yield count(f"{name} pairs", _differing(graph.pairs, case["pairs_sorted"]))
        undirected = graph.edges([f"{i:09d}" for i in range(images)])
        ends = [(int(pair.a), int(pair.b)) for pair in undirected]
        proper = [pair for pair in case["undirected_unique"] if pair[0] != pair[1]]
        yield count(f"{name} undirected", _differing(ends, proper))
        yield compare(
            f"{name} symmetric", [len(graph.symmetric())], [case["n_pairs_after_symmetrize"]], atol=0
        )
    for key, expected in content["other"].items():
        images, text, *options = key.split("|")
        chosen = dict(option.split("=") for option in options)
        text += f"-{chosen['prefilter']}" if "prefilter" in chosen else ""
        graph = pair_graph(text, int(images.removeprefix("N")))
        pairs = graph.symmetric() if chosen.get("symmetrize") == "True" else list(graph.pairs)
        yield compare(f"graph {key} number", [len(pairs)], [expected["count"]], atol=0)
        yield count(f"graph {key} pairs", _differing(pairs, expected["pairs"]))


def _differing(actual: Iterable[tuple[int, int]], expected: Iterable[Sequence[int]]) -> int:
    return len(set(actual) ^ {(a, b) for a, b in expected})
