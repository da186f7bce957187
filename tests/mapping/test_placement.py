"""Log-odds of the placement of two images to each other, by points, photos and verified pairs."""

import math

import pytest

from retrieval import Pair
from sfm.mapping.pose_consistency.placement import (
    placement_log_odds,
    usual_consistency,
    verified_log_odds,
)
from sfm.mapping.pose_consistency.pose_features import ModelEvidence

AB, AC, BC, BD = Pair("a", "b"), Pair("a", "c"), Pair("b", "c"), Pair("b", "d")


def evidence(
    *,
    errors_px: dict[Pair, float] | None = None,
    probability: dict[Pair, float] | None = None,
    again: dict[Pair, float] | None = None,
    alike: dict[Pair, float] | None = None,
) -> ModelEvidence:
    """Of a model of four images."""
    return ModelEvidence(
        dict.fromkeys("abcd", 100),
        probability or {},
        {pair for pair, error in (errors_px or {}).items() if error < 4},
        errors_px or {},
        again or {},
        alike,
    )


def test_verified_pairs_count_by_their_probability_for_or_against_the_placement() -> None:
    chance = {AB: 0.9, AC: 0.3, BC: 0.9, BD: 1.0}

    found = placement_log_odds(evidence(errors_px={AB: 0.5, AC: 30.0, BC: 4.5, BD: 30.0}, probability=chance))

    assert found.keys() == {AB, AC, BD}, "BC neither agrees nor contradicts"
    assert found[AB] > 0 > found[AC] > found[BD]
    assert found[BD] == verified_log_odds({BD: 0.99}, [], [BD])[BD], "no pair decides alone"


def test_verified_pairs_count_less_than_if_they_were_independent() -> None:
    assert 0 < verified_log_odds({AB: 0.9}, [AB], [])[AB] < -math.log(0.1)
    assert 0 > verified_log_odds({AB: 0.9}, [], [AB])[AB] > math.log(0.1)


@pytest.mark.parametrize("alike", [None, {AB: 1.0}])
def test_images_that_observe_more_of_the_same_points_are_likelier_right(
    alike: dict[Pair, float] | None,
) -> None:
    few, many = (placement_log_odds(evidence(again={AB: odds}, alike=alike))[AB] for odds in (-2.0, 1.0))

    assert few < many
    assert few < 0 < many or alike


def test_photos_that_look_unlike_speak_against_a_placement_that_points_speak_for() -> None:
    unlike, alike = (placement_log_odds(evidence(again={AB: 0.5}, alike={AB: x}))[AB] for x in (-3.0, 3.0))

    assert unlike < 0 < placement_log_odds(evidence(again={AB: 0.5}))[AB]
    assert unlike < 0 < alike


def test_all_that_is_known_of_a_pair_is_added() -> None:
    known = evidence(errors_px={AB: 0.5}, probability={AB: 0.9}, again={AB: 0.5, AC: 0.5}, alike={AB: 1.0})
    by_points_and_photos = placement_log_odds(evidence(again={AB: 0.5}, alike={AB: 1.0}))

    found = placement_log_odds(known)

    assert found[AB] == pytest.approx(by_points_and_photos[AB] + verified_log_odds({AB: 0.9}, [AB], [])[AB])
    assert found[AC] == placement_log_odds(evidence(again={AC: 0.5}))[AC], "its photos were not compared"


def test_the_usual_consistency_is_that_of_most_pairs_and_never_against_a_placement() -> None:
    known = evidence(again={AB: 1.0, AC: 0.8, BC: -3.0}, errors_px={BD: 0.5}, probability={BD: 0.9})

    assert usual_consistency(known) == placement_log_odds(evidence(again={AC: 0.8}))[AC] > 0
    assert usual_consistency(evidence(again={AB: -3.0, AC: -2.0})) == 0
    assert usual_consistency(evidence()) == 0
