"""Aligned models around existing ones, whose poses the alignment held."""

from __future__ import annotations

from collections.abc import Sequence

import pycolmap

from ..scene.existing_models import ExistingModels, grafted
from ..scene.options import MapperOptions
from .submodels import Submodel


def with_existing(
    found: Sequence[Submodel], existing: ExistingModels, options: MapperOptions
) -> list[Submodel]:
    """The models, one around each existing model; an existing one stays where alignment found nothing of it.

    Groups that no pair joins to each other may all have images of one existing model. They are in its world,
    so that frozen ones make one model.
    """
    around: dict[int, Submodel] = {}
    rest: list[Submodel] = []
    for submodel in found:
        base = existing.base_of(submodel.reconstruction)
        first = around.get(id(base))
        if base is None or (first is not None and not existing.frozen):
            rest.append(submodel)
        elif first is None:
            around[id(base)] = submodel
        else:
            first.reconstruction = grafted(
                first.reconstruction, submodel.reconstruction, options, adjusts=False
            )
            first.names |= submodel.names
            first.journal.entries += submodel.journal.entries
    lost: list[pycolmap.Reconstruction] = [m for m in existing.models if id(m) not in around]
    return [*around.values(), *rest, *map(Submodel.of, lost)]
