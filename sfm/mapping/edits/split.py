"""Pendant parts become models of their own.

Within the whole, nothing determines the scale of such a part, and pairs that do later would have to bend it.
Apart, both are as exact as their own points, and pairs between them are looked for as between any two models.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import pycolmap

from ..growing.submodels import MappingContext, Submodel, judged, note_registered, without_images
from ..measures.articulation_images import pendant_parts


def split_at_articulations(context: MappingContext, submodels: Sequence[Submodel]) -> list[Submodel]:
    """The models, unchanged, with each pendant part that is large enough for a model split off.

    Models of a scene with depth stay whole, since depth determines the scale.
    """
    if context.scene.depth is not None:
        return list(submodels)
    return [one for submodel in submodels for one in _split(context, submodel)]


def is_pendant(context: MappingContext, model: pycolmap.Reconstruction, names: Set[str]) -> bool:
    """Whether some of these images belong to a pendant part that is large enough for a model."""
    return any(not names.isdisjoint(part) for part, _ in _large_parts(context, model))


def _large_parts(context: MappingContext, model: pycolmap.Reconstruction) -> list[tuple[frozenset[str], str]]:
    """Pendant parts and their articulation images, without parts with rigs, whose baselines determine the
    scale."""
    least = context.options.pipeline.min_model_size
    in_rigs = {
        image.name
        for image in (model.image(image_id) for image_id in model.reg_image_ids())
        if len(model.frame(image.frame_id).data_ids) > 1
    }
    return [
        (part.names, part.articulation)
        for part in pendant_parts(model)
        if len(part.names) >= least and in_rigs.isdisjoint(part.names)
    ]


def _split(context: MappingContext, submodel: Submodel) -> list[Submodel]:
    """The model without its pendant parts, and these, as models; each may have such parts itself."""
    parts = _large_parts(context, submodel.reconstruction)
    if not parts:
        return [submodel]
    rest = without_images(context, submodel, frozenset().union(*(names for names, _ in parts)))
    models: list[Submodel] = []
    for names, articulation in parts:
        part = without_images(context, submodel, submodel.names - names)
        part = Submodel.of(part.reconstruction)
        rest.journal.note("split", names=sorted(names), articulation=articulation)
        note_registered(context, part, "split")
        models += _split(context, judged(context, part))
    return [*_split(context, judged(context, rest)), *models]
