"""A COLMAP database of photos taken along the streets of a town that was never rendered, with exact poses.

    python tools/street_grid.py grid-300-alike-bridge OUT

A name says all: the number of photos, then any of `noisy` (40 % wrong matches before verification instead
of 15 %), `alike` (facades that look the same), `bridge` (two districts and an alley), `unfocal` (no focal
length is known), `radial` (lens distortion), `cameras` (four cameras) and `s1`, `s2`, … (another town).
OUT/database.db holds keypoints, raw matches and verified pairs, OUT/gt.json the poses, OUT/false_pairs.json
the pairs of photos that have verified and share nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from synthetic.grid_photos import HEIGHT, WIDTH, GridPhoto, choose_pairs, pose, raw_matches, take
from synthetic.street_grids import build_town, camera_places

from sfm.config.schema import Config
from sfm.matching.verification import verification_options

_FOCAL_PX = 0.7 * WIDTH
_GUESSED_FOCAL_PX = 1.2 * WIDTH
_K1 = -0.05
_FOCAL_FACTORS = (1.0, 0.92, 1.08, 1.15)
_OPTIONS = ("noisy", "alike", "bridge", "unfocal", "radial", "cameras")


@dataclass(frozen=True, slots=True)
class Grid:
    """What a name asks for."""

    views: int
    options: frozenset[str]
    seed: int

    @classmethod
    def parse(cls, name: str) -> Grid:
        """Read a name.

        Raises:
            ValueError: it is no name of a street grid.
        """
        kind, _, rest = name.partition("-")
        views, *words = rest.split("-")
        seeds = [int(word[1:]) for word in words if word[:1] == "s" and word[1:].isdigit()]
        options = frozenset(word for word in words if not (word[:1] == "s" and word[1:].isdigit()))
        if kind != "grid" or not views.isdigit() or len(seeds) > 1 or not options <= set(_OPTIONS):
            raise ValueError(
                f"{name!r} is no street grid; grid-VIEWS, then any of {', '.join(_OPTIONS)}, sSEED"
            )
        return cls(int(views), options, seeds[0] if seeds else 0)


def make(grid: Grid, out: Path) -> dict[str, float]:
    """Write the database, the truth and the false pairs; figures of what was made."""
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng((grid.seed, grid.views))
    town = build_town(grid.views, alike="alike" in grid.options, bridge="bridge" in grid.options, rng=rng)
    centres, headings = camera_places(town, grid.views, rng)
    photos = []
    for i, (centre, heading) in enumerate(zip(centres, headings, strict=True)):
        tilt = math.radians(6) + rng.normal(scale=0.03)
        rotation = pose(centre, heading, tilt, rng.normal(scale=0.02))
        k1 = _K1 if "radial" in grid.options else 0.0
        photos.append(take(town, centre, rotation, _FOCAL_PX * _factor(grid, i), k1, rng))
    pairs = choose_pairs(photos)
    wrong = 0.4 if "noisy" in grid.options else 0.15
    matches = {(i, j): raw_matches(photos[i], photos[j], wrong, rng) for i, j in pairs}
    database = out / "database.db"
    database.unlink(missing_ok=True)
    _write(grid, photos, {pair: found for pair, (found, _) in matches.items()}, database)
    _verify(database, pairs, out)
    verified = _verified(database)
    false = sorted(pair for pair in verified if matches[pair][1] == 0)
    (out / "false_pairs.json").write_text(json.dumps([[_name(i), _name(j)] for i, j in false]))
    _write_truth(photos, out / "gt.json")
    return {
        "photos": len(photos),
        "keypoints_per_photo": float(np.mean([len(photo.keypoints) for photo in photos])),
        "pairs": len(pairs),
        "verified": len(verified),
        "false": len(false),
        "inliers_per_pair": float(np.mean(list(verified.values()))),
        "extent_m": float(np.linalg.norm(np.ptp(centres, axis=0))),
    }


def _factor(grid: Grid, photo: int) -> float:
    return _FOCAL_FACTORS[_camera(grid, photo) - 1]


def _camera(grid: Grid, photo: int) -> int:
    """Each of several cameras takes a stretch of the walk."""
    return 1 + photo * len(_FOCAL_FACTORS) // grid.views if "cameras" in grid.options else 1


def _name(photo: int) -> str:
    return f"{photo:04d}.jpg"


def _write(
    grid: Grid, photos: Sequence[GridPhoto], matches: dict[tuple[int, int], np.ndarray], path: Path
) -> None:
    known = "unfocal" not in grid.options
    with pycolmap.Database.open(path) as database, pycolmap.DatabaseTransaction(database):
        for camera_id in sorted({_camera(grid, i) for i in range(len(photos))}):
            focal_px = _FOCAL_PX * _FOCAL_FACTORS[camera_id - 1] if known else _GUESSED_FOCAL_PX
            camera = pycolmap.Camera.create_from_model_name(
                camera_id, "SIMPLE_RADIAL", focal_px, WIDTH, HEIGHT
            )
            camera.has_prior_focal_length = known
            database.write_camera(camera, use_camera_id=True)
        for i, photo in enumerate(photos):
            image = pycolmap.Image(image_id=i + 1, name=_name(i), camera_id=_camera(grid, i))
            database.write_image(image, use_image_id=True)
            database.write_keypoints(i + 1, photo.keypoints.astype(np.float32))
        for (i, j), found in matches.items():
            database.write_matches(i + 1, j + 1, found)


def _verify(database: Path, pairs: Sequence[tuple[int, int]], scratch: Path) -> None:
    pair_list = scratch / "pairs.txt"
    pair_list.write_text("".join(f"{_name(i)} {_name(j)}\n" for i, j in pairs))
    options = verification_options(Config().verify, Config().run.seed)
    pycolmap.verify_matches(database, pair_list, options)


def _verified(path: Path) -> dict[tuple[int, int], int]:
    """Inliers of the verified pairs of photos."""
    with pycolmap.Database.open(path) as database:
        pair_ids, geometries = database.read_two_view_geometries()
    found = {}
    for pair_id, geometry in zip(pair_ids, geometries, strict=True):
        i, j = pycolmap.pair_id_to_image_pair(pair_id)
        if len(geometry.inlier_matches):
            found[i - 1, j - 1] = len(geometry.inlier_matches)
    return found


def _write_truth(photos: Sequence[GridPhoto], path: Path) -> None:
    entries = {
        _name(i): {"R_cw": photo.rotation.tolist(), "t_cw": photo.translation.tolist()}
        for i, photo in enumerate(photos)
    }
    path.write_text(json.dumps({"images": entries, "unit": "m"}), encoding="utf-8")


def main() -> None:
    """Make one street grid and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    started = time.monotonic()
    figures = make(Grid.parse(options.name), options.out)
    print(json.dumps({**figures, "made_s": round(time.monotonic() - started, 1)}))


if __name__ == "__main__":
    main()
