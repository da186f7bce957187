"""DUSt3R's networks: points of both heads, and matches by nearest neighbours in 3D."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from sfm.mast3r.network.correspondences import match_points, merge_directions
from sfm.mast3r.weights.model_call import parse_model_call

from .case import Case, compare, count
from .networks import Manifest, network_of

_SCALE = {f"downstream_head{view}.proj.weight": 0.3 for view in (1, 2)}


@torch.inference_mode()
def cases(folder: Path, *, device: str = "cpu") -> Iterator[Case]:
    """Everything under `dust3r/` that a network gives."""
    for head in ("dpt", "linear"):
        manifest = folder / "dust3r" / f"manifest_{head}.json"
        if not manifest.is_file():
            continue
        content = json.loads(manifest.read_text(encoding="utf-8"))
        network, differing = network_of(
            Manifest(
                parse_model_call(content["model"]),
                0,
                {name: tuple(entry["shape"]) for name, entry in content["params"].items()},
                {name: entry["sha256_f32"] for name, entry in content["params"].items()},
            ),
            device,
            scale=_SCALE,
        )
        yield count(f"{head} weights", differing)
        for path in sorted((folder / "dust3r").glob(f"{head}_*.npz")):
            with np.load(path, allow_pickle=False) as file:
                stored = dict(file)
            images = [torch.from_numpy(stored[f"img{view}"]).to(device) for view in (1, 2)]
            sizes = [(image.shape[2], image.shape[3]) for image in images]
            tokens = [network.encode(image) for image in images]
            layers = network.decode(tokens[0], sizes[0], tokens[1], sizes[1])
            found = [network.points(view, layers[view - 1]) for view in (1, 2)]
            for view, (points, confidence) in enumerate(found, start=1):
                for key, values in (("pts3d", points), ("conf", confidence)):
                    expected = stored[f"out{view}_{key}"]
                    name = f"{path.stem} out{view}_{key}"
                    yield compare(name, values.cpu(), expected, atol=5e-5, rtol=1e-4)
            yield from _matches(path.stem, stored, device)


def _matches(name: str, stored: dict[str, np.ndarray], device: str) -> Iterator[Case]:
    """From the stored points, so that rounding cannot turn a nearest neighbour into the next."""
    maps = [
        tuple(torch.from_numpy(stored[f"out{view}_{key}"][0]).to(device) for key in ("pts3d", "conf"))
        for view in (1, 2)
    ]
    found = merge_directions(match_points(*maps, subsample=8))  # type: ignore[arg-type]
    for key, actual in (("xy1", found.xy_a), ("xy2", found.xy_b)):
        expected = stored[f"corres3d_S8_{key}"]
        yield count(f"{name} {key}", int(not np.array_equal(actual, expected)))
    yield compare(f"{name} conf", found.confidence, stored["corres3d_S8_conf"], atol=0, rtol=1e-6)
