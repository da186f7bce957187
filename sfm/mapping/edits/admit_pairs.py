"""Deferred pairs are admitted where the models that grew without them agree with them.

A false pair that registers an image bends the model towards itself, and then no residual contradicts it. So
models grow without the deferred pairs, and their poses decide which of these are true.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace

import pycolmap

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, continued
from ..measures.agreement import agreeing_pairs, median_errors_px
from ..scene.journal import Journal
from ..scene.scene import Scene


def supported_pairs(
    scene: Scene, models: Sequence[pycolmap.Reconstruction], deferred: Set[Pair]
) -> tuple[frozenset[Pair], frozenset[Pair]]:
    """Deferred pairs that a model agrees with; others that one contradicts or that would join two models."""
    if not deferred:
        return frozenset(), frozenset()
    model_of = {
        model.image(image_id).name: index
        for index, model in enumerate(models)
        for image_id in model.reg_image_ids()
    }
    errors = [median_errors_px(scene, model, scene.view_graph.edges) for model in models]
    agreeing = (agreeing_pairs(scene, found, beside=found.keys() - deferred) for found in errors)
    true = frozenset().union(*agreeing) & deferred
    refused = frozenset(pair for pair in deferred - true if pair.a in model_of and pair.b in model_of)
    return true, refused


def admit_pairs(
    whole: MappingContext, submodels: Sequence[Submodel], deferred: Set[Pair], journal: Journal
) -> list[Submodel]:
    """The models with the deferred pairs that they agree with, and with images that only deferred pairs
    register.

    Models that gain no image stay as they are.

    Args:
        whole: context whose scene has all pairs.
        submodels: models that were grown without `deferred`; models from depth alone stay as they are.
        deferred: pairs of the scene.
        journal: records the number of admitted pairs, and each image that only deferred pairs register.
    """
    true, refused = supported_pairs(
        whole.scene, [submodel.reconstruction for submodel in submodels], deferred
    )
    missing = frozenset(whole.scene.id_of).difference(*(submodel.names for submodel in submodels))
    journal.note(
        "deferred_pairs", num_deferred=len(deferred), num_admitted=len(true), num_refused=len(refused)
    )
    if not any(name in missing for pair in deferred for name in pair):
        return list(submodels)  # the last adjustment makes points of the pairs that came in
    firm = whole.scene.view_graph.without(deferred - true)
    context = replace(whole, scene=whole.scene.without(refused))
    grown: list[Submodel] = []
    for submodel in submodels:
        if submodel.is_depth_only:
            grown.append(submodel)
            continue
        later = continued(context, submodel.reconstruction, missing)
        for name in sorted(later.names - submodel.names):
            if not firm.support(name, later.names):
                why = "only pairs that may be look-alikes' lead to it"
                later.journal.note("uncertain", name=name, why=why)
        later.journal.entries = submodel.journal.entries + later.journal.entries
        missing -= later.names
        grown.append(later)
    return grown
