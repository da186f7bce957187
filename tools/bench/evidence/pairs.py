"""Fits P(a verified pair is true) and validates it on kinds of collections that it was not fitted on.

    python tools/bench evidence.pairs SETS.json --out out/pairs.json             # leave one kind out
    python tools/bench evidence.pairs SETS.json --model pair_model.json          # and the fit on all
    python tools/bench evidence.pairs SETS.json --without symmetric              # in no fit

SETS.json lists collections: [{"kind": "desk", "folder": "...", "database": "..."}, …], each with its truth
and an exhaustive database. `evidence.collections` makes rendered ones, and such a list of them.

A graph counts by the root of its number of labelled pairs. Coefficients are not negative, since more of each
feature speaks for a true pair; the indicator of a missing feature may be. A kind in which no feature tells
true from false pairs (AUROC near 0.5) makes every feature seem worth less on all others. Named `--without`,
it is validated on alone.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import pycolmap
from harness.arguments import file_to_write, program
from numpy.typing import NDArray

from evidence.graphs import VARIANTS, LabelledGraph, labelled_graphs
from evidence.kinds import add_without, but
from evidence.logistic import auroc, calibration_error, logistic_fit
from sfm.mapping.pair_consistency.pair_features import track_features
from sfm.mapping.pair_consistency.pair_probability import WORDS, LogisticModel

Reals = NDArray[np.float64]

INDICATORS = ("has_background",)
SECOND = [*WORDS, *INDICATORS]
FIRST = [name for name in SECOND if name not in ("track_support", "rotation_agreement")]


def main() -> None:
    """Parse, fit, print."""
    parser = program(__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--out", type=file_to_write, help="figures, as JSON")
    parser.add_argument("--model", type=file_to_write, help="coefficients of the fit on all")
    add_without(parser)
    options = parser.parse_args()
    pycolmap.logging.minloglevel = 2
    graphs: list[LabelledGraph] = []
    for one in json.loads(options.sets.read_text(encoding="utf-8")):
        graphs += labelled_graphs(one["kind"], Path(one["folder"]), Path(one["database"]))
    found = {"left_out": left_out(graphs, without=options.without)}
    if options.model:
        fitted = model_of(but(graphs, options.without))
        options.model.write_text(json.dumps(fitted, indent=1) + "\n", encoding="utf-8")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def left_out(graphs: Sequence[LabelledGraph], *, without: Collection[str] = ()) -> list[dict[str, object]]:
    """Figures of each graph by the model fitted on all other kinds; printed as a table, with pooled ones.

    Kinds `without` are in no fit, and not in the second pooled figures.
    """
    odds: dict[int, Reals] = {}
    rows: list[dict[str, object]] = []
    for kind in sorted({graph.kind for graph in graphs}):
        first, second = fit_rounds(but(graphs, {kind, *without}))
        for index, graph in enumerate(graphs):
            if graph.kind == kind:
                add_track_features(graph, first)
                log_odds = second.log_odds(graph.features)
                odds[index] = np.array([log_odds[pair] for pair in graph.pairs])
    for index, graph in enumerate(graphs):
        rows.append(_row(graph, odds[index]))
        print(" ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    pooled = {"all": list(range(len(graphs)))}
    if without:
        pooled["fitted kinds"] = [i for i, graph in enumerate(graphs) if graph.kind not in without]
    pooled |= {name: [i for i, graph in enumerate(graphs) if graph.variant == name] for name in VARIANTS}
    for name, some in pooled.items():
        if not some:
            continue
        rows.append(_pooled(name, [graphs[i] for i in some], [odds[i] for i in some]))
        print(" ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


def fit_rounds(graphs: Sequence[LabelledGraph]) -> tuple[LogisticModel, LogisticModel]:
    """The models of both rounds; the graphs get the features of the second round by the first model."""
    first = _fitted(graphs, FIRST)
    for graph in graphs:
        add_track_features(graph, first)
    return first, _fitted(graphs, SECOND)


def add_track_features(graph: LabelledGraph, first: LogisticModel) -> None:
    """The features of the second round, by the log-odds of the first."""
    features = graph.features
    log_odds = first.log_odds(features)
    features.update(track_features(graph.matches, graph.rotations, log_odds, features["has_background"]))


def model_of(graphs: Sequence[LabelledGraph]) -> dict[str, object]:
    """The content of `pair_model.json`, fitted on all graphs."""
    rounds = fit_rounds(graphs)
    true = np.concatenate([graph.matrix(SECOND)[graph.truth] for graph in graphs])
    return {
        "made": "tools/bench/evidence/pairs.py",
        "kinds": sorted({graph.kind for graph in graphs}),
        "graphs": len(graphs),
        "pairs": sum(len(graph.pairs) for graph in graphs),
        "false_pairs": sum(int((~graph.truth).sum()) for graph in graphs),
        "rounds": [{"constant": one.constant, "coefficients": dict(one.coefficients)} for one in rounds],
        "usual": dict(zip(SECOND, true.mean(axis=0).round(4).tolist(), strict=True)),
    }


def _weights(graphs: Sequence[LabelledGraph]) -> Reals:
    return np.concatenate([np.full(len(graph.pairs), len(graph.pairs) ** -0.5) for graph in graphs])


def _fitted(graphs: Sequence[LabelledGraph], names: list[str]) -> LogisticModel:
    features = np.concatenate([graph.matrix(names) for graph in graphs])
    truth = np.concatenate([graph.truth for graph in graphs])
    free = [name in INDICATORS for name in names]
    constant, slopes = logistic_fit(features, truth, _weights(graphs), free=free)
    kept = {name: round(w, 4) for name, w in zip(names, slopes.tolist(), strict=True) if round(w, 4)}
    return LogisticModel(round(constant, 4), kept)


def _row(graph: LabelledGraph, odds: Reals) -> dict[str, object]:
    truth = graph.truth
    return {
        "kind": graph.kind,
        "set": graph.name,
        "pairs_a_photo": graph.pairs_a_photo,
        "variant": graph.variant,
        "true": int(truth.sum()),
        "false": int((~truth).sum()),
        "auroc": _rounded(auroc(odds, truth)),
        "true_below_half": int((truth & (odds < 0)).sum()),
        "false_above_half": int((~truth & (odds > 0)).sum()),
    }


def _pooled(
    name: str, graphs: Sequence[LabelledGraph], odds: Sequence[Reals]
) -> Mapping[str, object] | dict[str, object]:
    weights, truth = _weights(graphs), np.concatenate([graph.truth for graph in graphs])
    chances = 1 / (1 + np.exp(-np.concatenate(odds)))
    each = [auroc(o, graph.truth) for o, graph in zip(odds, graphs, strict=True)]
    return {
        "variant": name,
        "graphs": len(graphs),
        "auroc": _rounded(auroc(chances, truth)),
        "mean_auroc_of_graphs": _rounded(float(np.nanmean(each))),
        "calibration_error": _rounded(calibration_error(chances, truth, weights)),
        "true_below_half": _rounded(weights[truth & (chances < 0.5)].sum() / weights[truth].sum()),
        "false_above_half": _rounded(
            weights[~truth & (chances > 0.5)].sum() / max(weights[~truth].sum(), 1e-9)
        ),
    }


def _rounded(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    main()
