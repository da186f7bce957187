"""Image loading: the network's pixels, exactly."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sfm.ingest.decode import load_rgb
from sfm.mast3r.network.image_input import network_photo

from .case import Case, compare, count

_PARTS = {
    "stride8": np.s_[::8, ::8],
    "topleft16": np.s_[:16, :16],
    "botright16": np.s_[-16:, -16:],
    "full": np.s_[:, :],
}


def cases(folder: Path) -> Iterator[Case]:
    """Every photo of `loader/loader.json` at every size listed there: hash of its bytes, parts if stored."""
    listing = folder / "loader" / "loader.json"
    if not listing.is_file():
        return
    stored = folder / "loader" / "loader.npz"
    parts = np.load(stored, allow_pickle=False) if stored.is_file() else {}
    for file, entry in json.loads(listing.read_text(encoding="utf-8"))["images"].items():
        pixels = load_rgb(folder / "loader" / file)
        for key, expected in entry["out"].items():
            size, _, option = key.removeprefix(f"{Path(file).stem}__").partition("_")
            photo, _ = network_photo(pixels, file, size=int(size), square_ok=option == "squareok")
            digest = hashlib.sha256(np.ascontiguousarray(photo.pixels)).hexdigest()
            yield compare(f"loader {key} shape", [photo.size], expected["true_shape"], atol=0)
            yield count(f"loader {key} sha256", int(digest != expected["sha256_u8_hwc"]))
            for part, where in _PARTS.items():
                if f"{key}__{part}" in parts:
                    yield compare(
                        f"loader {key} {part}", photo.pixels[where], parts[f"{key}__{part}"], atol=0
                    )
