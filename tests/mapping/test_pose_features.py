"""Features of registered images by which right poses differ from wrong ones."""

from dataclasses import replace
from itertools import combinations

import pytest

from retrieval import Pair
from sfm.mapping.pose_consistency.pose_features import ModelEvidence, pose_features
from sfm.mapping.pose_consistency.pose_judge import expected_right
from sfm.mapping.pose_consistency.pose_probability import pose_probabilities

LARGE, SMALL = "abcde", "xyz"
WITHIN = [Pair.of(*ends) for part in (LARGE, SMALL) for ends in combinations(part, 2)]
ACROSS = [Pair.of(a, x) for a, x in zip(LARGE, SMALL, strict=False)]


def evidence(across: float) -> ModelEvidence:
    """Of two groups of images, all pairs of which agree; `across` is the probability of those between."""
    chances = {**dict.fromkeys(WITHIN, 0.99), **dict.fromkeys(ACROSS, across)}
    points = dict.fromkeys(LARGE + SMALL, 100)
    return ModelEvidence(points, chances, dict.fromkeys(chances, 0.5), dict.fromkeys(chances, 1.0))


def link(of: ModelEvidence) -> dict[str, float]:
    return dict(zip(of.num_points, pose_features(of)["link"].tolist(), strict=True))


def test_the_weakest_link_of_a_part_counts_for_its_smaller_side() -> None:
    found = link(evidence(0.6))

    assert [found[name] for name in SMALL] == pytest.approx([0.405] * 3, abs=1e-3)
    assert all(found[name] > 4 for name in LARGE)


def test_a_part_that_no_agreeing_pair_links_is_the_least_likely_right() -> None:
    linked = evidence(0.6)
    apart = linked.with_agreeing(frozenset(SMALL), frozenset(ACROSS), frozenset())

    assert {link(apart)[name] for name in SMALL} == {-6.0}
    assert all(link(apart)[name] > 4 for name in LARGE)
    assert expected_right(apart) < expected_right(linked) < expected_right(evidence(0.99))


def test_with_other_pairs_agreeing_all_else_stays() -> None:
    before = evidence(0.9)

    after = before.with_agreeing(frozenset(SMALL), frozenset(ACROSS), frozenset(ACROSS[:1]))

    assert after.agreeing == sorted([*WITHIN, ACROSS[0]])
    assert after.consistency.keys() == set(WITHIN)
    assert (after.num_points, after.probability) == (before.num_points, before.probability)


@pytest.mark.parametrize(("has_photos", "name"), [(True, "photo_consistency"), (False, "repeatability")])
def test_images_are_judged_by_photos_where_there_are_some(has_photos: bool, name: str) -> None:
    found = replace(evidence(0.9), has_photos=has_photos)

    assert pose_features(found).keys() == {"link", "true_pairs", name}
    assert 0 < pose_probabilities(found).not_folded < 1
