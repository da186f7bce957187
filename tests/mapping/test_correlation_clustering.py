"""Images are joined by what is known of pairs while that holds them together."""

from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval import Pair
from sfm.mapping.measures.correlation_clustering import ClusterTree, cluster_tree

NAMES = frozenset("abcdefghij")
LOG_ODDS = st.dictionaries(
    st.tuples(st.sampled_from(sorted(NAMES)), st.sampled_from(sorted(NAMES))).filter(
        lambda ends: ends[0] < ends[1]
    ),
    st.integers(-6, 6).map(float),
)


def last(tree: ClusterTree) -> list[frozenset[str]]:
    """Clusters that are joined to no other."""
    parts = {part for joined in tree.joined for part in joined}
    return [tree.images(one) for one in range(len(tree.sizes)) if one not in parts]


def between(one: frozenset[str], other: frozenset[str], log_odds: dict[Pair, float]) -> float:
    return sum(log_odds.get(Pair.of(*ends), 0.0) for ends in product(one, other))


@settings(deadline=None)
@given(LOG_ODDS)
def test_images_are_joined_while_what_is_between_them_is_positive_in_sum(
    values: dict[tuple[str, str], float],
) -> None:
    log_odds = {Pair(*ends): value for ends, value in values.items()}

    tree = cluster_tree(NAMES, log_odds)

    for whole, (a, b) in enumerate(tree.joined, len(NAMES)):
        one, other = tree.images(a), tree.images(b)
        assert not one & other
        assert tree.images(whole) == one | other
        assert between(one, other, log_odds) > 0
    assert frozenset().union(*last(tree)) == NAMES
    assert all(between(one, other, log_odds) <= 0 for one, other in combinations(last(tree), 2))


@settings(deadline=None)
@given(LOG_ODDS)
def test_sums_are_those_of_a_cluster_with_all_other_images(values: dict[tuple[str, str], float]) -> None:
    log_odds = {Pair(*ends): value for ends, value in values.items()}

    tree = cluster_tree(NAMES, dict(reversed(log_odds.items())))

    assert tree == cluster_tree(NAMES, log_odds)
    for cluster, size in enumerate(tree.sizes):
        images = tree.images(cluster)
        across = [value for pair, value in log_odds.items() if len(images & {*pair}) == 1]
        assert len(images) == size
        assert tree.positive[cluster] == sum(value for value in across if value > 0)
        assert tree.negative[cluster] == sum(value for value in across if value < 0)


def test_pairs_with_other_images_do_not_count() -> None:
    assert cluster_tree(frozenset("ab"), {Pair("a", "c"): 5.0, Pair("b", "c"): 5.0}).joined == []
