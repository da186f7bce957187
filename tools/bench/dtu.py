"""Clouds of DTU scans against the scans: accuracy, completeness and their mean, mm, as JSON.

    python tools/bench/dtu.py "SampleSet/MVS Data" CLOUDS
    python tools/bench/dtu.py "SampleSet/MVS Data" CLOUDS --scans 1 4 9

CLOUDS has a `scan{N}.ply` of each scan in the frame of DTU's cameras, as `sfm dense` makes from these poses.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from harness.arguments import ending_on_errors, program
from metrics.clouds import read_cloud
from metrics.dtu_scores import PUBLISHED_MM, SCANS, DtuScan, dtu_score, mean_scores


def main() -> None:
    """Parse, score, print."""
    options = _parse()
    with ending_on_errors():
        scores = [
            dtu_score(scan, read_cloud(options.clouds / f"scan{scan}.ply"), DtuScan.read(options.root, scan))
            for scan in options.scans
        ]
    rows = [_as_json({**asdict(score), "overall": score.overall}) for score in scores]
    means = _as_json(mean_scores(scores))
    print(json.dumps({"scans": rows, "mean_mm": means, "mast3r_mm": PUBLISHED_MM}, indent=1))


def _as_json(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Null where nothing was near enough to be counted, which JSON has no number for."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    parser.add_argument("root", type=Path, help="folder with ObsMask/ and Points/stl/")
    parser.add_argument("clouds", type=Path, help="folder with scan{N}.ply")
    parser.add_argument(
        "--scans", type=int, nargs="+", default=SCANS, help="default: the 22 of the evaluation"
    )
    options = parser.parse_args()
    if len(set(options.scans)) < len(options.scans):
        parser.error("--scans names a scan twice")
    return options


if __name__ == "__main__":
    main()
