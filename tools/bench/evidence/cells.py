"""Makes the cells of SIFT descriptors, and measures what matching in probed cells misses.

    python tools/bench evidence.cells SETS.json --cells sfm/matching/sift/cells.npy
    python tools/bench evidence.cells SETS.json --databases OUT/database.db … --out out/cells.json

SETS.json is that of `evidence.collections`. With databases, pairs of each are matched within cells, by
comparing all descriptors, and by COLMAP, verified alike: matches kept, inliers, CPU seconds. Each database's
cells are of the collections in SETS.json alone.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np
import pycolmap
from harness.arguments import file_to_write, program
from numpy.typing import NDArray

from kernels.values import Probed
from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import MatchingConfig
from sfm.matching.sift.cells import probed
from sfm.matching.sift.descriptors import descriptor_matches
from sfm.matching.sift.matching import matching_options
from sfm.matching.verification import write_pair_list

NUM_CELLS = 256
_PER_COLLECTION = 4000
_ITERATIONS = 20
_PAIRS = 16


def main() -> None:
    """Parse, make, measure, print."""
    parser = program(__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--cells", type=file_to_write, help="centres of the cells, as .npy")
    parser.add_argument("--databases", type=Path, nargs="+", default=[], help="with verified pairs")
    parser.add_argument("--out", type=file_to_write, help="figures, as JSON")
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    entries = json.loads(options.sets.read_text(encoding="utf-8"))
    centres = cells_of([FeatureDatabase(Path(one["database"]), read_only=True) for one in entries])
    if options.cells:
        np.save(options.cells, centres)
    rows = [measured(FeatureDatabase(path, read_only=True), centres) for path in options.databases]
    for row in rows:
        print(json.dumps(row), flush=True)
    if options.out:
        found = {"command": " ".join(sys.argv), "rows": rows}
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def cells_of(databases: list[FeatureDatabase]) -> NDArray[np.uint8]:
    """Centres (256, 128) uint8 by k-means of as many descriptors of each database."""
    random, samples = np.random.default_rng(0), []
    for database in databases:
        rows = np.concatenate([database.features(name)[1] for name in sorted(database.num_keypoints())])
        samples.append(rows[random.permutation(len(rows))[:_PER_COLLECTION]])
    kmeans = faiss.Kmeans(128, NUM_CELLS, niter=_ITERATIONS, seed=1, max_points_per_centroid=10**6)
    kmeans.train(np.concatenate(samples).astype(np.float32))
    return np.rint(kmeans.centroids).astype(np.uint8)


def measured(database: FeatureDatabase, centres: NDArray[np.uint8]) -> dict[str, object]:
    """Figures of some verified pairs of a database, by each search."""
    verified = sorted(pair for pair, record in database.pairs().items() if record.verified)
    pairs = [verified[i] for i in np.random.default_rng(0).permutation(len(verified))[:_PAIRS]]
    names = sorted({name for pair in pairs for name in pair})
    descriptors = {name: database.features(name)[1] for name in names}
    sift, found, seconds = pycolmap.SiftMatchingOptions(), {}, {}
    for search, of_photo in (
        ("cells", lambda rows: probed(rows, centres)),
        ("exact", lambda rows: Probed(rows, np.zeros((len(rows), 1), np.uint8))),
    ):
        photos = {name: of_photo(rows) for name, rows in descriptors.items()}
        descriptor_matches(photos[pairs[0].a], photos[pairs[0].b], sift)  # compiles
        began = time.process_time()
        found[search] = {pair: descriptor_matches(photos[pair.a], photos[pair.b], sift) for pair in pairs}
        seconds[search] = time.process_time() - began
    found["colmap"], seconds["colmap"] = _by_colmap(database, pairs)
    sets = {
        search: {pair: set(map(tuple, of.tolist())) for pair, of in by.items()}
        for search, by in found.items()
    }
    total = sum(map(len, sets["exact"].values()))
    row: dict[str, object] = {"database": str(database.path), "pairs": len(pairs), "exact_matches": total}
    for search, by in found.items():
        kept = sum(len(sets[search][pair] & sets["exact"][pair]) for pair in pairs)
        row[search] = {
            "kept": round(kept / max(total, 1), 4),
            "inliers": _inliers(database, by),
            "seconds_per_pair": round(seconds[search] / len(pairs), 4),
        }
    return row


def _by_colmap(database: FeatureDatabase, pairs: list[Pair]) -> tuple[dict[Pair, NDArray[np.uint32]], float]:
    """COLMAP's matches of the pairs in one call, and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        path, listed = Path(folder) / "database.db", Path(folder) / "pairs.txt"
        path.write_bytes(database.path.read_bytes())
        there = pycolmap.Database.open(path)
        there.clear_matches()
        there.clear_two_view_geometries()
        there.close()
        copy = FeatureDatabase(path)
        options = matching_options(MatchingConfig(), 1)
        options.skip_geometric_verification = True
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = listed
        with copy.plain_names() as plain:
            write_pair_list(listed, pairs, plain)
            began = time.process_time()
            pycolmap.match_image_pairs(path, options, pairing, device=pycolmap.Device.cpu)
            seconds = time.process_time() - began
        none = np.empty((0, 2), np.uint32)
        matches = copy.matches()
        return {pair: matches.get(pair, none) for pair in pairs}, seconds


def _inliers(database: FeatureDatabase, matches: dict[Pair, NDArray[np.uint32]]) -> int:
    """Of the essential matrices of all pairs."""
    cameras, xy = database.cameras(), database.keypoint_positions()
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = 0
    total = 0
    for pair, rows in matches.items():
        sides = []
        for name in pair:
            one = cameras[name]
            camera = pycolmap.Camera(model=one.model, width=one.width, height=one.height, params=one.params)
            sides += [camera, xy[name].astype(np.float64)]
        geometry = pycolmap.estimate_calibrated_two_view_geometry(*sides, rows, options)
        total += len(geometry.inlier_matches)
    return total


if __name__ == "__main__":
    main()
