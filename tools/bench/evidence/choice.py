"""How often the likelier one of two sets of models of one database is the better one.

    python tools/bench evidence.choice MODELS.json

MODELS.json is as for `evidence.poses`; entries of one database are compared with each other. Better are those
with a tenth more pairs of images rightly placed in one model. Beside `pose_judge.gain_of` stands the expected
number of right pairs alone. Prints JSON: of each kind the comparisons, and the share rightly decided by each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, groupby
from pathlib import Path

from harness.arguments import program

from evidence.labelled_models import LabelledModel, labelled
from sfm.mapping.pose_consistency.pose_judge import expected_right_pairs, gain_of

_BETTER = 1.1

Models = Sequence[LabelledModel]


def main() -> None:
    """Parse, compare, print."""
    parser = program(__doc__)
    parser.add_argument("models", type=Path)
    options = parser.parse_args()
    listed = sorted(json.loads(options.models.read_text(encoding="utf-8")), key=_database)
    candidates = [_candidates(list(some)) for _, some in groupby(listed, key=_database)]
    print(json.dumps(decided([one for one in candidates if one]), indent=1))


def decided(candidates: Sequence[Sequence[Models]]) -> dict[str, dict[str, float]]:
    """Of each kind, the number of comparisons and the share that each rule decides rightly.

    Args:
        candidates: of each database, sets of models of it.
    """
    rules: Mapping[str, Callable[[Models, Models], float]] = {
        "gain": lambda a, b: gain_of([one.evidence for one in a], [one.evidence for one in b]),
        "right_pairs": lambda a, b: _expected_pairs(a) - _expected_pairs(b),
    }
    found: dict[str, dict[str, float]] = {}
    kinds = groupby(sorted(candidates, key=_kind), key=_kind)
    for kind, some in kinds:
        compared = [two for sets in some for two in _unequal(sets)]
        if compared:
            shares = {
                name: round(sum(rule(*two) > 0 for two in compared) / len(compared), 3)
                for name, rule in rules.items()
            }
            found[kind] = {"comparisons": len(compared), **shares}
    return found


def _candidates(entries: Sequence[Mapping[str, str]]) -> list[Models]:
    by_folder = groupby(sorted(labelled(entries), key=_folder), key=_folder)
    return [list(models) for _, models in by_folder]


def _unequal(sets: Sequence[Models]) -> Iterator[tuple[Models, Models]]:
    """Two sets each, the better one first."""
    for two in combinations(sets, 2):
        worse, better = sorted(two, key=_right_pairs)
        if _right_pairs(better) > _BETTER * _right_pairs(worse):
            yield better, worse


def _right_pairs(models: Models) -> int:
    return sum(int(one.is_right.sum()) ** 2 for one in models)


def _expected_pairs(models: Models) -> float:
    return expected_right_pairs(one.evidence for one in models)


def _database(entry: Mapping[str, str]) -> str:
    return entry["database"]


def _folder(model: LabelledModel) -> str:
    return model.name


def _kind(sets: Sequence[Models]) -> str:
    return sets[0][0].kind


if __name__ == "__main__":
    main()
