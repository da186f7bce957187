"""Models by global SfM, for images that incremental registration cannot connect.

Incremental mapping needs points that an image shares with the model; averaging relative poses needs none. The
poses of COLMAP's global mapper (GLOMAP, Pan et al. 2024) are a start: images whose pairs contradict them are
removed, the others are adjusted, and the rest may still register. Parts with hardly a common point are
separated, since adjustment cannot determine their relative pose. Of pairs that show a turn alone only this is
averaged, as their matches have it.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

import numpy as np
import pycolmap

from sfm.files.scratch import scratch_folder

from ..cameras.focal_priors import must_hold_given
from ..measures.agreement import agreement
from ..measures.pair_turns import turning_pairs
from ..measures.soundness import point_connected_parts
from ..scene.bearings import image_plane
from ..scene.colmap_mappers import global_options, restore_intrinsics
from ..scene.journal import Journal
from ..scene.part_database import write_part
from ..scene.scene import Scene
from ..scene.session import MapperSession, open_session
from .longest_tracks import longest_tracks
from .submodels import MappingContext, Submodel, extend, judged, reopen

_MIN_AGREEMENT = 0.6
"""Of the matches of an image with the others of its model."""
_TRACKS_PER_PAIR = 200
"""Longest tracks of each pair, at least, of which global SfM starts; the model gets the others afterwards."""


def global_models(context: MappingContext, candidates: Set[str]) -> list[Submodel]:
    """Models of `candidates` whose poses were found together, largest first.

    Args:
        context: with the scene that the models are to fit; its cameras and pairs are used.
        candidates: images to place.
    """
    options = global_options(context.options.pipeline, context.options.colmap)
    found = []
    cameras = dict(context.scene.cache.cameras.items())
    for model in sorted(_mapped(context, candidates, options), key=lambda model: -model.num_reg_images()):
        restore_intrinsics(model, cameras, context.options.mapper.constant_cameras)
        submodel = _corrected(context, model)
        if len(submodel.names) >= context.options.pipeline.min_model_size:
            reopen(context, submodel)
            extend(context, submodel, candidates)
            _drop_loose_parts(context, submodel)
            found.append(judged(context, submodel))
    return found


def _mapped(
    context: MappingContext, candidates: Set[str], options: pycolmap.GlobalPipelineOptions
) -> list[pycolmap.Reconstruction]:
    """Models of the global mapper, with given focal lengths where it does not determine better ones."""
    with scratch_folder() as folder:
        scratch = folder / "database.db"
        write_part(
            context.scene, candidates, scratch, longest_tracks(context.scene, candidates, _TRACKS_PER_PAIR)
        )
        _write_turns(context.scene, candidates, scratch)
        models = pycolmap.global_mapping(scratch, folder, folder, options).values()
        adjustment = options.mapper.bundle_adjustment
        if adjustment.refine_focal_length and any(
            must_hold_given(context.scene, model, context.options) for model in models
        ):
            adjustment.refine_focal_length = False
            models = pycolmap.global_mapping(scratch, folder, folder, options).values()
    return list(models)


def _write_turns(scene: Scene, names: Set[str], path: Path) -> None:
    """Write the turns of the pairs that show nothing else into a database of these images."""
    within = [pair for pair in scene.view_graph.edges if pair.a in names and pair.b in names]
    with pycolmap.Database.open(path) as db, pycolmap.DatabaseTransaction(db):
        for pair, turn in turning_pairs(scene, within).items():
            id_a, id_b = (scene.id_of[name] for name in pair)
            lens_a, lens_b = (
                image_plane(scene.cache.camera(scene.cache.image(i).camera_id)) for i in (id_a, id_b)
            )
            geometry = db.read_two_view_geometry(id_a, id_b)
            geometry.config = int(pycolmap.TwoViewGeometryConfiguration.PANORAMIC)
            geometry.H = lens_b @ turn.b_from_a @ np.linalg.inv(lens_a)
            geometry.cam2_from_cam1 = pycolmap.Rigid3d(pycolmap.Rotation3d(turn.b_from_a), np.zeros(3))
            db.update_two_view_geometry(id_a, id_b, geometry)


def _drop_loose_parts(context: MappingContext, submodel: Submodel) -> None:
    """Keep the images that points tie together.

    The others agree with each other and so pass for right one by one, however wrong they are together.
    """
    tied, *loose = point_connected_parts(submodel.reconstruction)
    if loose:
        with open_session(context.scene, context.options, submodel.reconstruction) as session:
            for frame in session.frames():
                if tied.isdisjoint(image.name for image in frame):
                    _drop(session, frame, "no points tie it to the rest of its model", submodel.journal)
            submodel.names = session.registered


def _drop(session: MapperSession, frame: Sequence[pycolmap.Image], why: str, journal: Journal) -> None:
    session.observations.deregister_frame(frame[0].frame_id)
    for image in frame:
        journal.note("filtered", name=image.name, why=why)


def _corrected(context: MappingContext, model: pycolmap.Reconstruction) -> Submodel:
    """The model as a trial, without the images whose own matches contradict their poses."""
    submodel = Submodel(None, model)
    with open_session(context.scene, context.options, model) as session:
        for frame in session.frames():
            if agreement(session, *(image.name for image in frame)) < _MIN_AGREEMENT:
                _drop(session, frame, "its matches contradict its pose", submodel.journal)
                continue
            for image in frame:
                num = image.num_points3D
                noted = {"name": image.name, "num_visible": num, "num_inliers": num}
                submodel.journal.note("registered", how="global", **noted)
        submodel.names = session.registered
    return submodel
