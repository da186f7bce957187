"""Models grown with other pairs deferred replace the present ones where they are likelier right."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from retrieval import Pair
from sfm.mapping.edits.alternative_models import likelier_models
from sfm.mapping.growing.submodels import MappingContext, Submodel, without_images
from sfm.mapping.pose_consistency.pose_judge import PoseJudge
from sfm.mapping.scene.journal import Journal

from . import synthetic
from .running import names, run, workbench
from .test_admit_pairs import misplaced

_HALF = 6


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> MappingContext:
    scene = synthetic.synthesize(tmp_path_factory.mktemp("ring") / "database.db", num_images=2 * _HALF)
    return workbench(scene.database)


@pytest.fixture(scope="module")
def whole(context: MappingContext, tmp_path_factory: pytest.TempPathFactory) -> Submodel:
    scene = synthetic.synthesize(tmp_path_factory.mktemp("same") / "database.db", num_images=2 * _HALF)
    return Submodel.of(run(scene.database, finished=False).models[0])


def halves(context: MappingContext, whole: Submodel) -> list[Submodel]:
    ordered = sorted(whole.names)
    return [without_images(context, whole, set(part)) for part in (ordered[_HALF:], ordered[:_HALF])]


def across(context: MappingContext, parts: Sequence[Submodel]) -> list[Pair]:
    edges, first = context.scene.view_graph.edges, parts[0].names
    return sorted(pair for pair in edges if (pair.a in first) != (pair.b in first))


def chosen(
    context: MappingContext,
    present: Sequence[Submodel],
    grow: Callable[[MappingContext, frozenset[Pair], bool], Sequence[Submodel]],
    deferred: frozenset[Pair],
    chance: float,
) -> tuple[list[Submodel], list[tuple[str, dict[str, object]]]]:
    journal = Journal()
    probability = {pair: chance if pair in deferred else 0.98 for pair in context.scene.view_graph.edges}
    judge = PoseJudge(context.scene, probability, deferred)
    return likelier_models(context, present, grow, judge, journal), journal.entries


def test_one_model_of_all_is_better_than_its_halves(context: MappingContext, whole: Submodel) -> None:
    parts = halves(context, whole)

    models, ((event, noted),) = chosen(
        context, parts, lambda *_: [whole], frozenset(across(context, parts)[3:]), 0.4
    )

    assert [one.names for one in models] == [whole.names]
    assert event == "alternative_models"
    assert noted["kept"]
    assert noted["num_images"] == 2 * _HALF


def test_a_model_that_only_false_pairs_hold_together_takes_no_place(
    context: MappingContext, whole: Submodel
) -> None:
    """Its poses do not agree with the trusted pairs."""
    parts = halves(context, whole)
    bent = Submodel.of(misplaced(whole.reconstruction))

    models, entries = chosen(
        context,
        parts,
        lambda *_: [bent],
        frozenset(across(context, parts)),
        0.001,
    )

    assert [one.names for one in models] == [part.names for part in parts]
    asked = [(noted["by_global"], noted["num_deferred"], noted["kept"]) for _, noted in entries]
    assert asked == [(True, len(across(context, parts)), False), (False, 0, False), (True, 0, False)]


def test_nothing_is_grown_where_a_model_is_whole(context: MappingContext, whole: Submodel) -> None:
    deferred = frozenset(list(context.scene.view_graph.edges)[:3])

    models, entries = chosen(context, [whole], pytest.fail, deferred, 0.4)

    assert models == [whole]
    assert not entries


def doubtful(context: MappingContext, whole: Submodel) -> tuple[frozenset[Pair], PoseJudge, Submodel]:
    """Pairs across its halves that may be false, a judge that knows so, and a model that is bent there."""
    doubted = frozenset(across(context, halves(context, whole))[3:])
    probability = {pair: 0.6 if pair in doubted else 0.98 for pair in context.scene.view_graph.edges}
    return doubted, PoseJudge(context.scene, probability), Submodel.of(misplaced(whole.reconstruction))


def test_a_model_that_is_probably_folded_is_made_again_by_global_sfm_and_grown_from_fewer_pairs(
    context: MappingContext, whole: Submodel
) -> None:
    doubted, judge, bent = doubtful(context, whole)
    journal = Journal()
    assert [judge.is_wrong(one.reconstruction) for one in (bent, whole)] == [True, False]
    seen: list[tuple[frozenset[Pair], bool]] = []

    def grow(part: MappingContext, deferred: frozenset[Pair], by_global: bool) -> list[Submodel]:
        seen.append((deferred, by_global))
        return [whole] if len(seen) > 2 else [bent]

    assert likelier_models(context, [bent], grow, judge, journal) == [whole]
    strength = {pair: edge.num_inliers for pair, edge in context.scene.view_graph.edges.items()}
    ranks = {
        name: sorted((p for p in strength if name in p), key=lambda p: (-strength[p], p))
        for name in context.scene.id_of
    }
    weak = {pair for pair in strength if all(ranks[name].index(pair) >= 3 for name in pair)}
    assert weak
    assert seen == [(frozenset(), True), (doubted, False), (weak, False)]
    assert [fields["kept"] for _, fields in journal.entries] == [False, False, True]
    assert likelier_models(context, [whole], pytest.fail, judge, journal) == [whole]


def test_nothing_more_is_grown_once_a_model_is_probably_right(
    context: MappingContext, whole: Submodel
) -> None:
    doubted, judge, bent = doubtful(context, whole)
    journal = Journal()

    models = likelier_models(context, [bent], lambda *what: [bent if what[2] else whole], judge, journal)

    assert models == [whole]
    assert [fields["num_deferred"] for _, fields in journal.entries] == [0, len(doubted)]


def test_each_component_is_compared_alone(context: MappingContext, whole: Submodel, tmp_path: Path) -> None:
    """Where no pair is deferred, models stay; the others are grown from the pairs of their component."""
    first = synthetic.synthesize(tmp_path / "a.db", num_images=_HALF)
    second = synthetic.synthesize(tmp_path / "b.db", num_images=_HALF, seed=2)
    both = workbench(synthetic.merge(first.database, second.database, tmp_path / "both.db"))
    models = [Submodel.of(model) for model in run(tmp_path / "both.db", finished=False).models]
    broken = without_images(both, models[1], {max(models[1].names)})
    of_image = sorted(p for p in both.scene.view_graph.edges if max(models[1].names) in p)
    deferred = frozenset(of_image[2:])
    seen: list[set[str]] = []

    def grow(context: MappingContext, deferred: frozenset[Pair], by_global: bool) -> list[Submodel]:
        seen.extend(set(part) for part in context.scene.view_graph.components() if len(part) > 1)
        return [models[1]]

    found, _ = chosen(both, [models[0], broken], grow, deferred, 0.4)

    assert seen == [models[1].names]
    assert [names(one.reconstruction) for one in found] == [models[0].names, models[1].names]


def test_models_in_parts_are_compared_with_one_by_global_sfm_and_one_grown_from_all_pairs(
    context: MappingContext, whole: Submodel
) -> None:
    """Where no pair is deferred, nothing is grown again from the same pairs."""
    parts = halves(context, whole)
    probability = dict.fromkeys(context.scene.view_graph.edges, 0.98)
    some = frozenset(across(context, parts)[3:])
    for deferred, others in (
        (some, [(some, True), (frozenset(), False), (frozenset(), True)]),
        (frozenset(), [(frozenset(), True)]),
    ):
        judge, seen = PoseJudge(context.scene, probability, deferred), list[tuple[frozenset[Pair], bool]]()

        def grow(
            part: MappingContext, left_out: frozenset[Pair], by_global: bool, to: list = seen
        ) -> list[Submodel]:
            to.append((left_out, by_global))
            return parts

        assert likelier_models(context, parts, grow, judge, Journal()) == parts
        assert seen == others


def test_no_model_of_fewer_pairs_is_grown_where_most_poses_are_right(
    context: MappingContext, whole: Submodel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Global SfM is quick: of all pairs it is tried all the same."""
    doubted, judge, bent = doubtful(context, whole)
    count = len(context.scene.id_of)
    for share, others in ((0.7, [frozenset(), doubted]), (0.8, [frozenset()])):
        monkeypatch.setattr(PoseJudge, "right_pairs", lambda *_, share=share: share * count**2)
        tried: list[frozenset[Pair]] = []

        likelier_models(
            context, [bent], lambda _, left_out, __, to=tried: to.append(left_out) or [bent], judge, Journal()
        )

        assert tried[:2] == others
