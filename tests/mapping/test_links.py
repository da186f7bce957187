"""Images are right only where a true pair links them with the rest of their model."""

from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval import Pair
from sfm.mapping.pair_consistency.trees import maximum_spanning_forest
from sfm.mapping.pose_consistency.links import link_probabilities

LARGE, SMALL = "abcde", "xyz"
WITHIN = {Pair.of(*ends): 0.99 for part in (LARGE, SMALL) for ends in combinations(part, 2)}
ACROSS = {Pair("a", "x"): 0.6, Pair("b", "y"): 0.5}


def found(probability: dict[Pair, float], names: str = LARGE + SMALL) -> dict[str, float]:
    return dict(zip(names, link_probabilities(names, probability).tolist(), strict=True))


def test_one_true_pair_across_is_enough_for_the_smaller_part() -> None:
    chances = found(WITHIN | ACROSS)

    assert [chances[name] for name in SMALL] == pytest.approx([0.8] * 3)
    assert min(chances[name] for name in LARGE) > 0.999


def test_what_no_pair_links_with_the_largest_part_is_not_right() -> None:
    chances = found(WITHIN, LARGE + SMALL + "u")

    assert [chances[name] for name in (*SMALL, "u")] == [0.0] * 4
    assert min(chances[name] for name in LARGE) > 0.999
    assert found({}, "ab") == {"a": 0.0, "b": 0.0}


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda ends: ends[0] < ends[1]),
        st.floats(0.01, 0.99),
        min_size=1,
    )
)
def test_each_image_has_the_least_of_the_cuts_that_part_it_from_more_images(
    values: dict[tuple[int, int], float],
) -> None:
    probability = {Pair(str(a), str(b)): value for (a, b), value in values.items()}
    forest = nx.Graph([(pair.a, pair.b) for pair in maximum_spanning_forest(probability)])
    largest = max(nx.connected_components(forest), key=lambda part: (len(part), min(part)))
    expected = {str(i): float(str(i) in largest) for i in range(8)}
    halves = False
    for link in list(forest.subgraph(largest).edges):
        forest.remove_edge(*link)
        sides = [nx.node_connected_component(forest, name) for name in link]
        forest.add_edge(*link)
        halves |= len(sides[0]) == len(sides[1])
        across = [p for pair, p in probability.items() if len({*pair} & sides[0]) == 1]
        for name in min(sides, key=len):
            expected[name] = min(expected[name], 1 - float(np.prod([1 - p for p in across])))

    chances = found(probability, "01234567")

    if not halves:  # of two equal halves either may be the larger part
        assert chances == pytest.approx(expected)
    assert all(0 <= chance <= 1 for chance in chances.values())
