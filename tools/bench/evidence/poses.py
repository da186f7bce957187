"""Fits P(a registered image's pose is right) and validates it on kinds that it was not fitted on.

    python tools/bench evidence.poses MODELS.json --out out/poses.json          # leave one kind out
    python tools/bench evidence.poses MODELS.json --model pose_model.json       # and the fit on all
    python tools/bench evidence.poses MODELS.json --pairs photo_consistency.json # and of pairs of images
    python tools/bench evidence.poses MODELS.json --placements placement_model.json # and of their placements
    python tools/bench evidence.poses MODELS.json --database-only               # by repeatability, no photos

MODELS.json lists models of any mapper, right and folded ones; `evidence.models` makes them: [{"kind": "desk",
"truth": "gt.json", "database": "...", "models": "...", "photos": "images", "defers": true}, …]. Without truth
(null) all images count as right. Models at true poses are in the fit of images, by which models of the same
photos are compared; that of whole models describes what mappers find. Beside the probability stands what
others have: the number of points that an image sees, and its mean reprojection error. A model counts by the
root of its number of images, a kind by the root of its number of models.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path

import numpy as np
from harness.arguments import count, file_to_write, program

from evidence.kinds import add_without, but
from evidence.labelled_models import LabelledModel, labelled
from evidence.logistic import Reals, Truth, auroc, calibration_error, logistic_fit
from retrieval import Pair
from sfm.mapping.measures.agreement import AGREED_PX, CONTRADICTED_PX
from sfm.mapping.measures.inconsistent_parts import log_odds_of_pairs
from sfm.mapping.measures.residual_ratio import is_bent
from sfm.mapping.pose_consistency.pose_probability import (
    WRONG_SHARE,
    PoseModel,
    lowest_averages,
    pose_probabilities,
    section,
)

_WHOLE = 1 - WRONG_SHARE
_SURE = 0.95


def main() -> None:
    """Parse, fit, print."""
    parser = program(__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--out", type=file_to_write, help="figures, as JSON")
    parser.add_argument("--model", type=file_to_write, help="coefficients of the fit on all")
    parser.add_argument("--pairs", type=file_to_write, help="coefficients of pairs of images, fitted on all")
    parser.add_argument("--database-only", action="store_true", help="as if there were no photos")
    parser.add_argument("--placements", type=file_to_write, help="coefficients of placements, fitted on all")
    add_without(parser)
    parser.add_argument("--jobs", type=count, default=1, help="processes; default 1")
    options = parser.parse_args()
    listed = json.loads(options.models.read_text(encoding="utf-8"))
    for one in listed if options.database_only else ():
        one["photos"] = None
    # Two processes must not read one database: each has two copies of SQLite, which share no locks.
    listed.sort(key=_database)
    by_database = [list(some) for _, some in groupby(listed, key=_database)]
    with ProcessPoolExecutor(options.jobs) as pool:
        models = [model for found in pool.map(labelled, by_database) for model in found]
    if len({one.kind for one in models}) < 2:
        raise SystemExit(
            f"{options.models}: models of two kinds at least are needed, since each is left out in turn"
        )
    rows = left_out(models, without=options.without)
    for row in rows:
        print(" ".join(f"{key} {value}" for key, value in row.items()))
    if options.model:
        options.model.write_text(
            json.dumps(model_of(but(models, options.without)), indent=1) + "\n", encoding="utf-8"
        )
    if options.pairs:
        options.pairs.write_text(
            json.dumps(pair_model_of(but(models, options.without)), indent=1) + "\n", encoding="utf-8"
        )
    if options.placements:
        options.placements.write_text(
            json.dumps(placement_model_of(but(models, options.without)), indent=1) + "\n", encoding="utf-8"
        )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _database(one: Mapping[str, str]) -> str:
    return one["database"]


def fitted(models: Sequence[LabelledModel]) -> PoseModel:
    """The model of images, and the one of whole models by their lowest features."""
    names = list(models[0].features)
    matrix, truth, weights = _stacked(models)
    of_model = _kinds_alike(models)
    weights *= np.repeat(of_model, [len(one.truth) for one in models])
    constant, slopes = logistic_fit(matrix, truth, weights)
    usual = matrix[truth].mean(axis=0)
    mapped = [one for one in models if not one.has_true_poses]
    lowest = np.array([list(lowest_averages(one.evidence, one.features).values()) for one in mapped])
    whole = np.array([one.truth.mean() >= _WHOLE for one in mapped])
    whole_constant, whole_slopes = logistic_fit(lowest, whole, _kinds_alike(mapped))
    return PoseModel(
        round(constant, 4),
        dict(zip(names, slopes.round(4).tolist(), strict=True)),
        dict(zip(names, usual.round(4).tolist(), strict=True)),
        round(whole_constant, 4),
        dict(zip(names, whole_slopes.round(4).tolist(), strict=True)),
    )


def model_of(models: Sequence[LabelledModel]) -> dict[str, object]:
    """A part of `pose_model.json`, fitted on all."""
    found, truth = fitted(models), np.concatenate([one.truth for one in models])
    coefficients = {
        "kinds": sorted({one.kind for one in models}),
        "models": len(models),
        "images": len(truth),
        "wrong_images": int((~truth).sum()),
        "constant": found.constant,
        "coefficients": dict(found.coefficients),
        "usual": dict(found.usual),
        "whole": {"constant": found.whole_constant, "coefficients": dict(found.whole_coefficients)},
    }
    return {section(has_photos=models[0].evidence.has_photos): coefficients}


def pair_model_of(models: Sequence[LabelledModel]) -> dict[str, object]:
    """The content of `photo_consistency.json`, fitted on all."""
    some = [one for one in models if one.pairs]
    similar = np.array([value for one in some for value in one.similar.values()])
    right = np.array([value for one in some for value in one.pairs.values()])
    weights = np.concatenate([np.full(len(one.pairs), len(one.pairs) ** -0.5) for one in some])
    constant, slopes = logistic_fit(similar[:, None], right, weights)
    return {
        "made": "tools/bench/evidence/poses.py --pairs",
        "pairs": len(right),
        "wrong_pairs": int((~right).sum()),
        "constant": round(constant, 4),
        "slope": round(float(slopes[0]), 4),
    }


def placement_model_of(models: Sequence[LabelledModel]) -> dict[str, object]:
    """The content of `placement_model.json`, fitted on all pairs of images whose photos are compared."""
    some = [one for one in models if one.pairs]
    right = np.array([value for one in some for value in one.pairs.values()])
    weights = np.concatenate([np.full(len(one.pairs), len(one.pairs) ** -0.5) for one in some])
    columns = {
        "repeatability": [one.evidence.repeatability.get(pair, 0.0) for one in some for pair in one.pairs],
        "photo_consistency": [looks_of(one)[pair] for one in some for pair in one.pairs],
        "weight": [odds.get(pair, 0.0) for one in some for odds in [verified_of(one)] for pair in one.pairs],
    }

    def coefficients(names: Sequence[str]) -> dict[str, float]:
        matrix = np.array([columns[name] for name in names]).T
        constant, slopes = logistic_fit(matrix, right, weights)
        found = dict(zip(names, slopes.round(2).tolist(), strict=True))
        return {"constant": round(constant, 2), **found}

    return {
        "made": "tools/bench/evidence/poses.py --placements",
        "pairs": len(right),
        "wrong_pairs": int((~right).sum()),
        "coefficients": {
            "with_photos": coefficients(["photo_consistency", "repeatability"]),
            "without_photos": coefficients(["repeatability"]),
            "verified_pairs": {"weight": coefficients(["weight"])["weight"]},
        },
    }


def looks_of(one: LabelledModel) -> Mapping[Pair, float]:
    """Photo-consistency of the pairs of a model."""
    return one.evidence.photo_consistency or {}


def verified_of(one: LabelledModel) -> Mapping[Pair, float]:
    """Log-odds of placements by the verified pairs of a model, as if they were independent."""
    errors_px, chance = one.evidence.errors_px, one.evidence.probability
    agreeing = {pair for pair, error in errors_px.items() if error <= AGREED_PX}
    return log_odds_of_pairs(
        chance, agreeing, {pair for pair, error in errors_px.items() if error > CONTRADICTED_PX}
    )


def left_out(models: Sequence[LabelledModel], *, without: Collection[str] = ()) -> list[dict[str, object]]:
    """Figures of each model by the fit on all other kinds, and those of all together.

    Kinds `without` are in no fit. Their models count in the first pooled figures and not in the second.
    """
    chances: dict[int, Reals] = {}
    whole: dict[int, float] = {}
    for kind in sorted({one.kind for one in models}):
        model = fitted(but(models, {kind, *without}))
        for index, one in enumerate(models):
            if one.kind == kind:
                found = pose_probabilities(one.evidence, model)
                chances[index] = np.array([*found.photos.values()])[one.is_known]
                whole[index] = found.right
    rows = [_row(one, chances[index], whole[index]) for index, one in enumerate(models)]
    every = range(len(models))
    some = [index for index in every if models[index].kind not in without]
    pooled = [
        _pooled(
            [models[i] for i in chosen],
            np.concatenate([chances[i] for i in chosen]),
            np.array([whole[i] for i in chosen]),
        )
        for chosen in ([every, some] if without else [every])
    ]
    return [*rows, *pooled]


def _row(one: LabelledModel, chances: Reals, whole: float) -> dict[str, object]:
    truth = one.truth
    return {
        "kind": one.kind,
        "model": one.name,
        "images": len(truth),
        "wrong": int((~truth).sum()),
        "wrong_below_half": int((~truth & (chances < 0.5)).sum()),
        "right_below_half": int((truth & (chances < 0.5)).sum()),
        "right": round(whole, 3),
        "residual_ratio": one.residual_ratio and round(one.residual_ratio, 3),
    }


def _pooled(models: Sequence[LabelledModel], chances: Reals, whole: Reals) -> dict[str, object]:
    _, truth, weights = _stacked(models)
    sure = chances >= _SURE
    points = [np.array(list(one.evidence.num_points.values()))[one.is_known] for one in models]
    errors = [one.reprojection_px[one.is_known] for one in models]
    right = np.array([one.truth.mean() >= _WHOLE for one in models])
    bent = np.array([is_bent(one.residual_ratio) for one in models])
    found = {
        "images": len(truth),
        "wrong": int((~truth).sum()),
        "auroc": auroc(chances, truth),
        "auroc_of_points": auroc(np.concatenate(points).astype(float), truth),
        "auroc_of_reprojection_error": auroc(-np.concatenate(errors), truth),
        "calibration_error": calibration_error(chances, truth, weights),
        "sure": int(sure.sum()),
        "right_of_sure": float(truth[sure].mean()) if sure.any() else float("nan"),
        "wrong_below_half": float((chances < 0.5)[~truth].mean()),
        "right_below_half": float((chances < 0.5)[truth].mean()),
        "folded_models": int((~right).sum()),
        "auroc_of_models": auroc(whole, right),
        "bent_models": int(bent.sum()),
        "right_of_bent": float(right[bent].mean()) if bent.any() else float("nan"),
    }
    return {key: round(value, 4) for key, value in found.items()}


def _stacked(models: Sequence[LabelledModel]) -> tuple[Reals, Truth, Reals]:
    matrix = np.concatenate([one.matrix for one in models])
    weights = np.concatenate([np.full(len(one.truth), max(len(one.truth), 1) ** -0.5) for one in models])
    return matrix, np.concatenate([one.truth for one in models]), weights


def _kinds_alike(models: Sequence[LabelledModel]) -> Reals:
    """Weights of models, (N,): so that no kind counts by the number of its models alone."""
    number = Counter(one.kind for one in models)
    return np.array([number[one.kind] ** -0.5 for one in models])


if __name__ == "__main__":
    main()
