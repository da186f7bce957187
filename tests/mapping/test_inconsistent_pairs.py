"""Pairs that visual aliasing made are likelier false than true, on dense and on thin graphs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from retrieval import Pair
from sfm.diagnosis.cleared_pairs import cleared_pairs
from sfm.diagnosis.photo_quality import ModelQuality
from sfm.diagnosis.visual_aliasing import ADVICE, read_inconsistent_pairs, visual_aliasing
from sfm.mapping.pair_consistency.inconsistent_pairs import find_inconsistent_pairs
from sfm.mapping.pair_consistency.missing_correspondences import context_agreement
from sfm.mapping.pair_consistency.pair_features import track_features
from sfm.mapping.pair_consistency.pair_probability import WORDS, pair_evidence
from sfm.mapping.pose_consistency.pose_probability import PoseProbabilities
from sfm.types import PhotoQuality

from .synthetic import synthesize
from .wall import Wall, chain, pair

PLACES = [1.0 * i for i in range(24)]
TWINS = (4.0, 20.0, 3.0)
"""One stretch of 3 at 4 and at 20: photos 1 to 6 and 17 to 22 show all of it."""
FALSE = [(i, j) for i in range(2, 6) for j in range(18, 22)]


def with_false_pairs(reach: int) -> tuple[Wall, dict[tuple[int, int], np.ndarray]]:
    wall = Wall(PLACES, twins=TWINS)
    return wall, chain(wall, reach) | {ends: wall.false_matches(*ends) for ends in FALSE}


def test_a_graph_without_look_alikes_defers_none_and_doubts_nothing() -> None:
    for reach in (1, 2, 5):
        wall = Wall(PLACES)

        report = find_inconsistent_pairs(wall.matches(chain(wall, reach)))

        assert report.deferred == frozenset()


@pytest.mark.parametrize("reach", [5, 3, 2])
def test_the_false_pairs_are_likelier_false_and_no_true_one_on_dense_and_thin_graphs(reach: int) -> None:
    wall, inliers = with_false_pairs(reach)

    report = find_inconsistent_pairs(wall.matches(inliers))

    assert report.deferred == {pair(*ends) for ends in FALSE}
    assert all(0.5 < inconsistent.score <= 1 for inconsistent in report.inconsistent_pairs)


def test_a_single_false_pair_is_named_with_reasons() -> None:
    wall = Wall(PLACES, twins=TWINS)
    inliers = chain(wall, 3) | {(3, 19): wall.false_matches(3, 19)}

    report = find_inconsistent_pairs(wall.matches(inliers))

    (inconsistent,) = report.inconsistent_pairs
    assert inconsistent.pair == pair(3, 19)
    assert inconsistent.evidence.num_inliers == len(inliers[3, 19])
    assert "track_support" in inconsistent.evidence.against
    assert WORDS["track_support"] in inconsistent.evidence.why()


def test_a_pair_whose_rotation_agrees_with_the_others_is_likelier_true() -> None:
    wall = Wall(PLACES, twins=TWINS)
    inliers = chain(wall, 3) | {(3, 19): wall.false_matches(3, 19)}
    found = []
    for turned_deg in (0.5, 3.0, 12.0):
        rotations = {pair(*ends): np.eye(3) for ends in inliers}
        rotations[pair(3, 19)] = Rotation.from_euler("y", turned_deg, degrees=True).as_matrix()
        evidence = pair_evidence(wall.matches(inliers), rotations=rotations, background={})
        found.append(evidence[pair(3, 19)].probability)

    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_what_speaks_against_a_pair_counts_less_the_longer_the_path_between_its_photos() -> None:
    """Tracks break along a path, and rotations add up their errors.

    Where the background was not compared, nothing else would speak against a false pair.
    """
    support, agreement = [], []
    support_alone, agreement_alone = [], []
    for reach in (5, 2, 1):
        wall = Wall(PLACES, twins=TWINS)
        matches = wall.matches(chain(wall, reach) | {(3, 19): wall.false_matches(3, 19)})
        rotations = dict.fromkeys(matches.inliers, np.eye(3))
        rotations[pair(3, 19)] = Rotation.from_euler("y", 5, degrees=True).as_matrix()
        log_odds = dict.fromkeys(matches.inliers, 1.0) | {pair(3, 19): -1.0}
        features = track_features(matches, rotations, log_odds, dict.fromkeys(matches.inliers, 1.0))
        support.append(features["track_support"][pair(3, 19)])
        agreement.append(features["rotation_agreement"][pair(3, 19)])
        features = track_features(matches, rotations, log_odds, dict.fromkeys(matches.inliers, 0.0))
        support_alone.append(features["track_support"][pair(3, 19)])
        agreement_alone.append(features["rotation_agreement"][pair(3, 19)])

    assert support == sorted(support)
    assert support[0] < 2 * support[-1] < 0
    assert agreement == sorted(agreement)
    assert agreement[0] < 0 < agreement[-1]
    assert max(support_alone) < support[0]
    assert max(agreement_alone) < 0


def test_agreement_of_the_background_makes_a_pair_likelier() -> None:
    wall = Wall(PLACES, twins=TWINS)
    matches = wall.matches(chain(wall, 3) | {(3, 19): wall.false_matches(3, 19)})
    usual = dict.fromkeys(matches.inliers, 2.0)

    found = [
        pair_evidence(matches, rotations={}, background={**usual, pair(3, 19): value})[
            pair(3, 19)
        ].probability
        for value in (0.8, 2.0, 4.0)
    ]

    assert found[0] < found[1] < found[2]


def test_a_true_loop_closure_is_not_deferred() -> None:
    """The way back is matched with the way there by two pairs only, which share a third of what they show.

    No track supports them yet, but what surrounds their matches agrees.
    """
    wall = Wall([*PLACES[:12], *(11.0 - i for i in range(1, 12))])
    closing = [(0, 18), (1, 17)]
    inliers = chain(wall, 1) | {ends: wall.true_matches(*ends) for ends in closing}

    matches = wall.matches(inliers)
    background = dict.fromkeys(matches.inliers, 3.0)

    assert find_inconsistent_pairs(matches, background=background).deferred == frozenset()


def test_what_alone_joins_two_parts_is_never_deferred() -> None:
    """Nothing can contradict it."""
    wall, inliers = with_false_pairs(3)
    cut = {ends: m for ends, m in inliers.items() if ends == (3, 19) or ends[1] < 10 or ends[0] >= 10}

    assert find_inconsistent_pairs(wall.matches(cut)).deferred == frozenset()


def number(image: str) -> int:
    return int(image[:3])


def test_the_report_does_not_depend_on_the_order_of_the_pairs() -> None:
    wall, inliers = with_false_pairs(3)
    matches = wall.matches(inliers)
    turned = replace(matches, inliers=dict(sorted(matches.inliers.items(), reverse=True)))

    assert find_inconsistent_pairs(turned) == find_inconsistent_pairs(matches)


def test_no_pairs_and_one_pair_are_no_suspects() -> None:
    wall = Wall([0.0, 1.0])

    assert find_inconsistent_pairs(wall.matches({})).inconsistent_pairs == ()
    assert find_inconsistent_pairs(wall.matches({(0, 1): wall.true_matches(0, 1)})).inconsistent_pairs == ()


def agreement(share: float) -> tuple[dict, Wall]:
    wall = Wall(PLACES, twins=TWINS)
    inliers = chain(wall, 3) | {(3, 19): wall.false_matches(3, 19, share=share)}
    return context_agreement(wall.matches(inliers)), wall


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_true_neighbours_agree_and_look_alikes_do_not(share: float) -> None:
    agreed, _ = agreement(share)

    true = [value for ends, value in agreed.items() if ends != pair(3, 19)]

    assert min(true) > 0.9
    assert agreed[pair(3, 19)] < 0.75
    assert all(0 <= value <= 1 for value in agreed.values())


def test_fewer_matches_among_contradicting_surroundings_agree_less() -> None:
    assert agreement(0.2)[0][pair(3, 19)] < agreement(0.8)[0][pair(3, 19)]


def test_where_nobody_else_confirms_keypoints_nothing_contradicts() -> None:
    wall = Wall([0.0, 16.0], twins=(2.0, 18.0, 3.0))

    agreed = context_agreement(wall.matches({(0, 1): wall.false_matches(0, 1)}))

    assert agreed[pair(0, 1)] == 1.0


@pytest.fixture
def ambiguous(tmp_path: Path) -> Path:
    wall, inliers = with_false_pairs(3)
    wall.write_database(tmp_path / "wall.db", inliers)
    return tmp_path / "wall.db"


def test_suspects_are_listed_with_advice_where_there_are_many(ambiguous: Path) -> None:
    folded = PoseProbabilities({}, {}, 0.3, ())
    found = visual_aliasing(read_inconsistent_pairs(ambiguous), [folded])

    assert {(s.a, s.b) for s in found.inconsistent_pairs} == {tuple(pair(*ends)) for ends in FALSE}
    assert [s.score for s in found.inconsistent_pairs] == sorted(
        (s.score for s in found.inconsistent_pairs), reverse=True
    )
    assert found.ambiguous
    assert found.note == ADVICE
    for other in (replace(folded, right=0.9), replace(folded, residual_ratio=1.6)):
        assert not visual_aliasing(read_inconsistent_pairs(ambiguous), [other]).ambiguous
    report = read_inconsistent_pairs(ambiguous)
    assert not visual_aliasing(replace(report, inconsistent_pairs=()), [folded]).ambiguous


def test_a_scene_without_visual_aliasing_has_nothing_to_say(tmp_path: Path) -> None:
    scene = synthesize(tmp_path / "scene.db")

    found = visual_aliasing(read_inconsistent_pairs(scene.database))

    assert (found.inconsistent_pairs, found.ambiguous, found.note) == ((), False, "")


PHOTO = PhotoQuality(0.5, 10.0, 0.01, 0.01, "", 4, 4, 0.0)
FIRM = tuple(Pair(a, b) for a, b in ("ab", "bc", "cd"))
VERIFY = Pair("a", "d")


def quality(*, agrees: bool = True, firm: tuple[Pair, ...] = FIRM) -> ModelQuality:
    """A chain of four photos and a suspect that closes it."""
    errors, agreeing = dict.fromkeys((*firm, VERIFY), 0.5), {*firm, *((VERIFY,) if agrees else ())}
    certain = PoseProbabilities(dict.fromkeys("abcd", 1.0), {}, 1.0, ())
    photos, inliers = dict.fromkeys("abcd", PHOTO), dict.fromkeys(errors, 100)
    return ModelQuality(photos, errors, agreeing, inliers, 10.0, certain)


@pytest.mark.parametrize("agrees", [True, False])
def test_a_suspect_is_cleared_where_the_poses_agree_with_it(agrees: bool) -> None:
    assert cleared_pairs(quality(agrees=agrees), {VERIFY}) == ({VERIFY} if agrees else set())


def test_a_suspect_that_alone_joins_two_parts_is_not_cleared() -> None:
    assert cleared_pairs(quality(firm=FIRM[:1] + FIRM[2:]), {VERIFY}) == set()


def test_nor_is_one_between_photos_of_two_models() -> None:
    apart = replace(quality(), errors_px=dict.fromkeys(FIRM, 0.5), agreeing=frozenset(FIRM))

    assert cleared_pairs(apart, {VERIFY}) == set()


def test_nor_is_one_of_an_image_that_is_likelier_wrong() -> None:
    doubted = PoseProbabilities({**dict.fromkeys("bcd", 1.0), "a": 0.2}, {"a": "why"}, 1.0, ())

    assert cleared_pairs(replace(quality(), probabilities=doubted), {VERIFY}) == set()


def test_a_report_without_some_of_its_suspects() -> None:
    wall, inliers = with_false_pairs(3)
    report = find_inconsistent_pairs(wall.matches(inliers))
    false = {pair(*ends) for ends in FALSE}

    few, none = report.without(false - {pair(*FALSE[0])}), report.without(false)

    assert {inconsistent.pair for inconsistent in few.inconsistent_pairs} == {pair(*FALSE[0])}
    assert few.deferred == report.deferred - (false - {pair(*FALSE[0])})
    assert none.inconsistent_pairs == ()
    assert report.without(set()) == report
