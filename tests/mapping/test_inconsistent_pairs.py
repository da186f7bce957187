"""Look-alike pairs are named by what the other pairs say, on dense and on thin graphs; true ones are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sfm.mapping.view_graph.inconsistent_pairs import Evidence, _is_inconsistent, find_inconsistent_pairs

from .wall import Wall, chain, name, pair

PLACES = [1.0 * i for i in range(24)]
TWINS = (4.0, 20.0, 3.0)
"""One stretch of 3 at 4 and at 20: photos 1 to 6 and 17 to 22 show all of it."""
FALSE = [(i, j) for i in range(2, 6) for j in range(18, 22)]


def with_false_pairs(reach: int) -> tuple[Wall, dict[tuple[int, int], np.ndarray]]:
    wall = Wall(PLACES, twins=TWINS)
    return wall, chain(wall, reach) | {ends: wall.false_matches(*ends) for ends in FALSE}


def test_a_graph_without_look_alikes_names_none() -> None:
    for reach in (1, 2, 5):
        wall = Wall(PLACES)

        report = find_inconsistent_pairs(wall.matches(chain(wall, reach)))

        assert report.inconsistent_pairs == ()
        assert not report.ambiguous


@pytest.mark.parametrize("reach", [5, 3, 2])
def test_the_false_pairs_are_named_and_no_true_one_on_dense_and_thin_graphs(reach: int) -> None:
    wall, inliers = with_false_pairs(reach)

    report = find_inconsistent_pairs(wall.matches(inliers))

    assert {inconsistent.pair for inconsistent in report.inconsistent_pairs} == {
        pair(*ends) for ends in FALSE
    }
    assert report.ambiguous
    assert all(0 < inconsistent.score <= 1 for inconsistent in report.inconsistent_pairs)


def test_a_single_false_pair_is_named_with_its_evidence_but_makes_no_ambiguous_collection() -> None:
    wall = Wall(PLACES, twins=TWINS)
    inliers = chain(wall, 3) | {(3, 19): wall.false_matches(3, 19)}

    report = find_inconsistent_pairs(wall.matches(inliers))

    (inconsistent,) = report.inconsistent_pairs
    assert inconsistent.pair == pair(3, 19)
    assert inconsistent.evidence.num_inliers == len(inliers[3, 19])
    assert inconsistent.evidence.support < 0.1
    assert inconsistent.evidence.num_hops >= 5
    assert str(len(inliers[3, 19])) in inconsistent.why
    assert name(3) in inconsistent.why
    assert not report.ambiguous


@pytest.mark.parametrize(("turned_deg", "named"), [(0.5, False), (6.0, True)])
def test_a_pair_that_turns_the_cameras_as_the_others_do_is_not_named(turned_deg: float, named: bool) -> None:
    wall = Wall(PLACES, twins=TWINS)
    inliers = chain(wall, 3) | {(3, 19): wall.false_matches(3, 19)}
    rotations = {pair(*ends): np.eye(3) for ends in inliers}
    rotations[pair(3, 19)] = Rotation.from_euler("y", turned_deg, degrees=True).as_matrix()

    inconsistent_pairs = find_inconsistent_pairs(
        wall.matches(inliers), rotations=rotations
    ).inconsistent_pairs

    assert bool(inconsistent_pairs) == named
    if named:
        assert inconsistent_pairs[0].evidence.turn_error_deg == pytest.approx(turned_deg, abs=0.01)


def test_a_pair_of_which_little_is_known_is_not_named_unless_its_surroundings_disagree() -> None:
    known = Evidence(20, 0.004, 0.25, 0.0, 0.1, 0.2, 8, 2, None)

    assert _is_inconsistent(known)
    assert not _is_inconsistent(replace(known, context=0.31))
    assert _is_inconsistent(replace(known, context=0.31, num_known=10, contradicted=0.5))


def test_a_true_loop_closure_is_not_named() -> None:
    """The way back is matched with the way there by two pairs only, which share a third of what they show."""
    wall = Wall([*PLACES[:12], *(11.0 - i for i in range(1, 12))])
    closing = [(0, 18), (1, 17)]
    inliers = chain(wall, 1) | {ends: wall.true_matches(*ends) for ends in closing}

    assert find_inconsistent_pairs(wall.matches(inliers)).inconsistent_pairs == ()


def test_what_alone_joins_two_parts_is_never_named() -> None:
    """Nothing can contradict it."""
    wall, inliers = with_false_pairs(3)
    cut = {ends: m for ends, m in inliers.items() if ends == (3, 19) or ends[1] < 10 or ends[0] >= 10}

    assert find_inconsistent_pairs(wall.matches(cut)).inconsistent_pairs == ()


@pytest.mark.parametrize(("every", "waits"), [(1, True), (8, False)])
def test_a_contradicted_pair_waits_only_where_the_way_round_is_firm(every: int, waits: bool) -> None:
    """Of the matches that alone join both halves, each so-manieth is there."""
    wall = Wall(PLACES, twins=TWINS)
    inliers = {ends: m for ends, m in chain(wall, 3).items() if ends[1] < 12 or ends[0] >= 12}
    inliers[11, 12] = wall.true_matches(11, 12)[::every]
    inliers[3, 19] = wall.false_matches(3, 19, share=1.0)[:26]

    deferred = find_inconsistent_pairs(wall.matches(inliers)).deferred

    assert deferred == ({pair(3, 19)} if waits else set())


@pytest.mark.parametrize(("count", "waits"), [(8, True), (26, False)])
def test_a_pair_of_few_matches_waits_where_a_much_firmer_way_leads_round_it(count: int, waits: bool) -> None:
    """The way is too weak to speak against a pair of many; both join nothing that tracks know."""
    wall = Wall(PLACES)
    inliers = {ends: m for ends, m in chain(wall, 3).items() if ends[1] < 12 or ends[0] >= 12}
    inliers[11, 12] = wall.true_matches(11, 12)[::7]
    inliers[3, 19] = wall.chance_matches(3, 19, count)

    deferred = find_inconsistent_pairs(wall.matches(inliers)).deferred

    assert deferred == ({pair(3, 19)} if waits else set())


def test_the_deciding_pairs_are_untried_and_lead_to_neighbours_of_the_other_photo() -> None:
    wall = Wall(PLACES, twins=TWINS)
    matches = wall.matches(chain(wall, 3) | {(3, 19): wall.false_matches(3, 19)})
    tried = {pair(3, 18), pair(4, 19)}

    (inconsistent,) = find_inconsistent_pairs(matches, tried=tried).inconsistent_pairs

    assert len(inconsistent.deciding) == 3
    assert not tried & set(inconsistent.deciding)
    for asked in inconsistent.deciding:
        (photo,) = {asked.a, asked.b} & {name(3), name(19)}
        (third,) = {asked.a, asked.b} - {photo}
        other = name(19) if photo == name(3) else name(3)
        assert abs(int(third[:3]) - int(other[:3])) <= 3


def test_the_report_does_not_depend_on_the_order_of_the_pairs() -> None:
    wall, inliers = with_false_pairs(3)
    matches = wall.matches(inliers)
    turned = type(matches)(
        matches.keypoints, matches.sizes, dict(sorted(matches.inliers.items(), reverse=True))
    )

    assert find_inconsistent_pairs(turned) == find_inconsistent_pairs(matches)


def test_no_pairs_and_one_pair_are_no_suspects() -> None:
    wall = Wall([0.0, 1.0])

    assert find_inconsistent_pairs(wall.matches({})).inconsistent_pairs == ()
    assert find_inconsistent_pairs(wall.matches({(0, 1): wall.true_matches(0, 1)})).inconsistent_pairs == ()
