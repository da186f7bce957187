"""Photos that pairs connect."""

from retrieval import Pair
from sfm.matching.dense.pointmaps.groups import connected_photos


def test_connected_photos_are_sorted_the_largest_set_first() -> None:
    pairs = [Pair.of("e", "f"), Pair.of("d", "e"), Pair.of("a", "c")]
    assert connected_photos(dict.fromkeys(pairs)) == [["d", "e", "f"], ["a", "c"]]
    assert connected_photos([]) == []
