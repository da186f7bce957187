"""A model's points against the laser scans of its scene: accuracy, completeness, F-score; a table or JSON.

    python tools/bench/against_scans.py eth3d:pipes OUT/sparse/0 --datasets FOLDER
    python tools/bench/against_scans.py tanks_and_temples:Barn OUT/sparse/0 --cloud OUT/dense.ply
    python tools/bench/against_scans.py eth3d:pipes OUT/sparse/0 --engine ours --out pipes-scans.json

`report.py` shows files of `--out`, several of them beside each other.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.result_file import write_results
from metrics.model_figures import model_figures
from metrics.points import PointScore
from metrics.scan_scores import distances_of, scan_scores
from photo_sets import load_scene
from photo_sets.sets import add_datasets_option, set_name

from sfm.errors import SfmError

BENCH = "against_scans"
"""What its result files say that they are of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRow:
    """Scores of one model."""

    set: str
    engine: str
    seed: int | None = None
    """That of the run, where somebody told."""
    registered: int = 0
    points: int = 0
    is_cloud: bool = False
    """A cloud in the model's frame was scored, instead of its points."""
    scores: tuple[PointScore, ...]

    @property
    def name(self) -> str:
        """The engine, for people."""
        return f"{self.engine}, cloud" if self.is_cloud else self.engine


def main() -> None:
    """Parse, score, print."""
    options = _parse()
    try:
        scene = load_scene(options.scene, options.datasets)
        distances = options.distances or distances_of(scene)
        scores = scan_scores(scene, options.model, distances, cloud=options.cloud)
        figures = model_figures(options.model)
    except SfmError as error:
        sys.exit(f"error: {error}" + (f" ({error.hint})" if error.hint else ""))
    if options.out:
        row = ScanRow(
            set=set_name(scene.dataset, scene.scene, scene.subset),
            engine=options.engine,
            seed=options.seed,
            registered=figures.registered,
            points=figures.points,
            is_cloud=options.cloud is not None,
            scores=scores,
        )
        write_results(options.out, [row], [], bench=BENCH, threads=1, options=[])
    if options.json:
        print(
            json.dumps({"scene": scene.name, "model": asdict(figures), "scores": [asdict(s) for s in scores]})
        )
        return
    print(
        f"{scene.name}: {figures.registered} photos, {figures.points} points,"
        f" track length {figures.mean_track_length:.2f}, reprojection {figures.mean_reprojection_px:.2f} px"
    )
    for score in scores:
        print(
            f"within {score.distance:g} m: accuracy {score.accuracy:.2f} %,"
            f" completeness {score.completeness:.2f} %, F-score {score.f_score:.2f} %"
        )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", help="DATASET:SCENE[@SUBSET]")
    parser.add_argument("model", type=Path, help="folder of a COLMAP model")
    parser.add_argument("--cloud", type=Path, help="PLY file in the model's frame, instead of its points")
    parser.add_argument("--distances", type=float, nargs="+", help="metres; the dataset's own by default")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON file with the scores, for report.py")
    parser.add_argument(
        "--engine",
        default="ours",
        metavar="NAME",
        help="that made the model, for --out (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, help="of its run, for --out")
    add_datasets_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
