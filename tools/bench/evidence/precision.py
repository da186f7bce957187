"""Fits how far formal standard deviations of poses understate errors, on kinds that it was not fitted on.

    python tools/bench evidence.precision RUNS.json --out out/precision.json

RUNS.json lists finished runs of collections with known poses: [{"kind": "desk", "truth": "gt.json",
"run": "OUT"}, …]. A model is right if all but a twentieth of its photos are within 2° and 2 % of the extent.
Its chance is its probability not to be folded or bent times that of `sfm/diagnosis/pose_precision.py`.
Printed is the mean of -log(chance of what is so), all kinds alike, without the latter and with it, for the
`constant` that is fitted on the other kinds. Runs of one collection with the same model count once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness.arguments import file_to_write, program
from metrics.mapper_scores import box_diagonal, read_models, score

from sfm.diagnosis.pose_covariance import PoseSigma
from sfm.diagnosis.pose_precision import chance_within, formal_deviation
from sfm.evaluation import load_ground_truth
from sfm.mapping.pose_consistency.pose_probability import WRONG_SHARE

_CONSTANTS = np.arange(0.5, 15.1, 0.5)
_LEAST = 0.01  # chance of anything
_MIN_IMAGES = 3


@dataclass(frozen=True, slots=True)
class _Model:
    kind: str
    probability: float
    deviation: float
    """As `formal_deviation`."""
    is_right: bool


def main() -> None:
    """Parse, fit, print."""
    parser = program(__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=file_to_write, help="figures, as JSON")
    options = parser.parse_args()
    listed = json.loads(options.runs.read_text(encoding="utf-8"))
    models = list(dict.fromkeys(model for one in listed for model in _models(**one)))
    kinds = sorted({model.kind for model in models})
    rows = []
    for kind in kinds:
        held, rest = ([one for one in models if (one.kind == kind) is same] for same in (True, False))
        constant = _fitted(rest)
        found = {"without": _loss(held, 0), "with": _loss(held, constant)}
        rows.append({"kind": kind, "models": len(held), "constant": constant, **found})
    means = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in ("without", "with")}
    rows.append({"kind": "all", "models": len(models), "constant": _fitted(models), **means})
    print(json.dumps(rows, indent=1))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _models(kind: str, truth: str, run: str) -> list[_Model]:
    record, known = json.loads((Path(run) / "run.json").read_text()), load_ground_truth(Path(truth))
    found = []
    for index, placed in enumerate(record["models"]):
        qualities = [o["quality"] for o in record["outcomes"] if o["model"] == index and o["quality"]]
        sigmas = [
            PoseSigma(q["sigma_position"], q["sigma_rotation_deg"])
            for q in qualities
            if not q["why_no_sigma"]
        ]
        (poses,) = read_models(Path(run) / placed["path"])
        deviation = formal_deviation(sigmas, box_diagonal(poses, poses))
        if len(poses) < _MIN_IMAGES or deviation is None or placed["probability"] is None:
            continue
        right = score([poses], known).right >= (1 - WRONG_SHARE) * len(poses)
        found.append(_Model(kind, placed["probability"], round(deviation, 6), right))
    return found


def _loss(models: Sequence[_Model], constant: float) -> float:
    """Mean of -log(chance of what is so), all kinds alike."""
    number = Counter(one.kind for one in models)
    total = 0.0
    for one in models:
        near = chance_within(constant * one.deviation)
        chance = np.clip(one.probability * near, _LEAST, 1 - _LEAST)
        total -= np.log(chance if one.is_right else 1 - chance) / number[one.kind]
    return round(float(total) / len(number), 4)


def _fitted(models: Sequence[_Model]) -> float:
    return float(min(_CONSTANTS, key=lambda constant: _loss(models, constant)))


if __name__ == "__main__":
    main()
