"""Rounds while models stay apart: how long pairs are asked for between them. In the end they begin afresh."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pycolmap
import pytest

from retrieval import Edge, Pair
from sfm.config.schema import RegisterConfig
from sfm.mapping import TwoView
from sfm.matching import MatchReport
from tests.loop.stand_in import NAMES, Engine, model_of, run

GENEROUS = RegisterConfig(max_rounds=5, pairs_per_photo=20.0, max_pairs_per_photo=20.0)


class Apart(Engine):
    """Two models that stay apart; after them the first `num_lucky` rounds verify pairs between them."""

    def __init__(self, num_lucky: int) -> None:
        super().__init__()
        self.num_lucky = num_lucky
        self.known.update(dict.fromkeys([Pair("5.jpg", "6.jpg")], TwoView(200, "uncalibrated", 0.5)))

    def grown(self, start: Sequence[pycolmap.Reconstruction]) -> tuple[pycolmap.Reconstruction, ...]:
        self.starts.append(len(start))
        second = model_of(len(NAMES) - 4)
        for image_id, name in zip(sorted(second.reg_image_ids()), NAMES[4:], strict=True):
            second.image(image_id).name = name
        return model_of(4), second

    def match(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        lucky = 0 < len(self.starts) <= self.num_lucky
        found = [p for p in sorted(edges) if lucky and (NAMES.index(p.a) < 4) != (NAMES.index(p.b) < 4)]
        self.known.update(dict.fromkeys(found, TwoView(200, "uncalibrated", 0.5)))
        self.matched.append(set(edges))
        return MatchReport(len(edges), 0, dict.fromkeys(found, 200))

    def rank(self, name: str, count: int) -> list[tuple[str, float]]:
        """Nothing before there are models; then one photo of the other, each round the next."""
        half, place = divmod(NAMES.index(name), 4)
        turn = len(self.starts) if half == 0 else -len(self.starts)
        other = NAMES[4 * (1 - half) + (place + turn) % 4]
        return [(other, 0.9)] if self.starts and count else []


@pytest.mark.parametrize("num_lucky", [0, 1, 3])
def test_models_apart_are_asked_about_as_long_as_pairs_between_them_verify(
    num_lucky: int, tmp_path: Path
) -> None:
    engine = Apart(num_lucky)

    result = run(engine, tmp_path, GENEROUS)

    assert sum(r.verified > 0 for r in result.rounds if r.models_before) == num_lucky
    assert engine.starts == [0] + [2] * (len(engine.starts) - 1)


def test_models_apart_begin_afresh_once_nothing_more_is_found(tmp_path: Path) -> None:
    engine = Apart(num_lucky=3)

    result = run(engine, tmp_path, GENEROUS)

    continued = [r.matched > 0 for r in result.rounds if r.models_before and (r.verified or not r.matched)]
    assert engine.comparisons == [False, *(not one for one in continued)]
    assert True in continued  # or this shows nothing
    assert engine.comparisons[-1]


class JoinedAfresh(Apart):
    """One whole model as soon as they are compared with others of all the pairs that are found."""

    def grown(self, start: Sequence[pycolmap.Reconstruction]) -> tuple[pycolmap.Reconstruction, ...]:
        models = super().grown(start)
        joined = self.comparisons[-1] and len(self.starts) > self.num_lucky + 1
        return (model_of(len(NAMES)),) if joined else models


def test_a_round_without_pairs_records_the_restart_that_joined_models(tmp_path: Path) -> None:
    result = run(JoinedAfresh(num_lucky=3), tmp_path, GENEROUS)

    assert [model.num_reg_images() for model in result.models] == [len(NAMES)]
    assert [(r.asked, r.models_before, r.models_after) for r in result.rounds[-1:]] == [({}, 2, 1)]


def test_models_begin_afresh_in_the_end_where_rounds_run_out(tmp_path: Path) -> None:
    result = run(JoinedAfresh(num_lucky=3), tmp_path, replace(GENEROUS, max_rounds=3))

    with_models = [(r.matched > 0, r.models_after) for r in result.rounds if r.models_before]
    assert with_models == [(True, 2), (True, 2), (True, 2), (False, 1)]
