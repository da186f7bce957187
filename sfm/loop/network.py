"""The view graph as a network of conductances: its incidence and Laplacian matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, diags_array

from retrieval import Pair

Array = NDArray[np.float64]
Ends = NDArray[np.int64]
"""(K, 2) indices of the images of pairs."""


class Network:
    """Images in a fixed order, and the conductances of the pairs that hold them."""

    def __init__(self, names: Sequence[str], conductance: Mapping[Pair, float]) -> None:
        self.names = names
        self._place = {name: i for i, name in enumerate(names)}
        self.held = self.ends(conductance)
        self.weights = np.array(list(conductance.values()), np.float64)

    def ends(self, pairs: Iterable[Pair]) -> Ends:
        """(K, 2) indices of the images of pairs among the names."""
        return np.array([(self._place[p.a], self._place[p.b]) for p in pairs], np.int64).reshape(-1, 2)

    def incidence(self, ends: Ends) -> Array:
        """(N, K) columns e_a - e_b."""
        columns, each = np.zeros((len(self.names), len(ends))), np.arange(len(ends))
        columns[ends[:, 0], each], columns[ends[:, 1], each] = 1.0, -1.0
        return columns

    def laplacian(self, prior: float = 0.0) -> csc_array[np.float64]:
        """(N, N) Laplacian L, plus the conductance of a prior of each image on its diagonal."""
        rows, columns = self.held.T
        count = len(self.names)
        off = csc_array((self.weights, (rows, columns)), shape=(count, count))
        off = off + off.T
        return csc_array(diags_array(np.asarray(off.sum(axis=0)).ravel() + prior) - off)
