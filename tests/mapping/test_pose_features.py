"""Features of registered images by which right poses differ from wrong ones."""

from dataclasses import replace
from itertools import combinations

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
    ones = dict.fromkeys(chances, 1.0)
    return ModelEvidence(points, chances, frozenset(chances), dict.fromkeys(chances, 0.5), ones, ones)


def agreement(of: ModelEvidence) -> dict[str, float]:
    return dict(zip(of.num_points, pose_features(of)["agreement"].tolist(), strict=True))


def test_a_part_that_no_agreeing_pair_links_is_less_likely_right() -> None:
    linked = evidence(0.6)
    apart = replace(linked, agreeing=linked.agreeing - {*ACROSS})

    assert all(agreement(apart)[name] < agreement(linked)[name] for name in SMALL)
    assert expected_right(apart) < expected_right(linked) < expected_right(evidence(0.99))


def test_agreement_is_averaged_over_the_images_around() -> None:
    linked = evidence(0.9)
    astray = replace(linked, agreeing=linked.agreeing - {Pair("x", "y"), Pair("x", "z")})

    before, after = agreement(linked), agreement(astray)

    assert all(after[name] < before[name] - 0.1 for name in "xyza")  # x itself, those it is with, its partner
    assert all(after[name] > before[name] - 0.1 for name in "de")


def test_true_pairs_that_contradict_a_pose_make_it_doubtful() -> None:
    linked = evidence(0.9)
    astray = replace(linked, agreeing=linked.agreeing - {ACROSS[0]})
    likelier_false = replace(astray, probability={**astray.probability, ACROSS[0]: 0.1})

    found = [pose_features(one)["agreement"][0] for one in (linked, likelier_false, astray)]

    assert found[0] > found[1] > found[2]
    assert expected_right(linked) > expected_right(likelier_false) > expected_right(astray)


def test_without_photos_images_are_judged_by_the_database_alone() -> None:
    found = replace(evidence(0.9), photo_consistency=None)

    assert pose_features(found).keys() == {"agreement", "repeatability"}
    assert pose_features(evidence(0.9)).keys() == {*pose_features(found), "photo_consistency"}
    assert 0 < pose_probabilities(found).right < 1


def test_a_model_is_no_likelier_right_than_a_part_of_it() -> None:
    found = pose_probabilities(evidence(0.05))

    (part,) = found.alternatives
    assert set(part.names) == set(SMALL)
    assert found.right <= 1 - part.probability < 0.5
