"""Neighbours in probed cells against their definition, pair by pair, and the compiled version against it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.dispatch import has_numba, use_backend
from kernels.probed_nearest import probed_nearest
from kernels.values import Probed
from tests.kernels.searches import VERSIONS, Row, as_rows, squared_distance, two_nearest


def some_side(rng: np.random.Generator, count: int, width: int, *, levels: int, cells: int) -> Probed:
    """Each descriptor probes three cells of few, so that many pairs meet from both sides."""
    probes = np.array([rng.permutation(cells)[:3] for _ in range(count)], np.uint8).reshape(count, 3)
    return Probed(rng.integers(0, levels, (count, width), dtype=np.uint8), probes)


def one_by_one(a: Probed, b: Probed) -> list[Row]:
    """For each descriptor of a, from every pair in turn."""
    rows = []
    for mine, probes in zip(a.descriptors, a.probes.tolist(), strict=True):
        met = [
            (squared_distance(mine, other), j)
            for j, (other, others) in enumerate(zip(b.descriptors, b.probes.tolist(), strict=True))
            if others[0] in probes or probes[0] in others
        ]
        rows.append(two_nearest(met))
    return rows


@pytest.mark.parametrize("version", VERSIONS)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 12),
    m=st.integers(0, 12),
    width=st.sampled_from([3, 128, 200]),
    levels=st.sampled_from([2, 256]),
)
def test_neighbours_are_those_of_every_pair_that_shares_a_cell(
    version: str, seed: int, n: int, m: int, width: int, levels: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = (some_side(rng, count, width, levels=levels, cells=6) for count in (n, m))

    with use_backend(version):  # type: ignore[arg-type]
        of_a, of_b = probed_nearest(a, b)

    assert as_rows(of_a) == one_by_one(a, b)
    assert as_rows(of_b) == one_by_one(b, a)


@pytest.mark.skipif(not has_numba(), reason="needs numba")
def test_both_versions_agree_on_many_descriptors() -> None:
    """More than a block of the plain version, over all cells, with many equal distances."""
    rng = np.random.default_rng(3)
    a, b = (some_side(rng, count, 128, levels=levels, cells=256) for count, levels in ((700, 3), (600, 3)))

    with use_backend("torch"):
        plain = probed_nearest(a, b)
    with use_backend("triton"):
        compiled = probed_nearest(a, b)

    assert [as_rows(side) for side in compiled] == [as_rows(side) for side in plain]
    assert (plain[0].index >= 0).mean() > 0.5


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(0)
    good = some_side(rng, 3, 8, levels=256, cells=6)
    for bad in (
        Probed(good.descriptors.astype(np.float32), good.probes),  # type: ignore[arg-type]
        Probed(good.descriptors[:, :7], good.probes),
        Probed(good.descriptors, good.probes[:2]),
        Probed(good.descriptors, good.probes[:, :0]),
        Probed(good.descriptors, good.probes.astype(np.int64)),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="probed_nearest"):
            probed_nearest(good, bad)
