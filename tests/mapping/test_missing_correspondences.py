"""Surroundings agree where the photos show the same place, and not where they share a front only."""

from __future__ import annotations

import pytest

from sfm.mapping.view_graph.missing_correspondences import context_agreement

from .wall import Wall, chain, pair

TWINS = (4.0, 20.0, 3.0)


def agreement(share: float) -> tuple[dict, Wall]:
    wall = Wall([1.0 * i for i in range(24)], twins=TWINS)
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
