"""Groups of images that pairs connect."""

from collections.abc import Sequence


def components(count: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Groups of images that pairs connect, each sorted, the largest first."""
    parent = list(range(count))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b in pairs:
        parent[find(a)] = find(b)
    groups: dict[int, list[int]] = {}
    for node in range(count):
        groups.setdefault(find(node), []).append(node)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]))
