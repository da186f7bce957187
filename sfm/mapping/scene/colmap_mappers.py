"""COLMAP's own mappers behind our interface: incremental, global (GLOMAP) and hierarchical."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pycolmap

from sfm.config.colmap import ColmapValues
from sfm.files.scratch import scratch_folder

from .adjusted_photos import all_photos
from .view_graph import MIN_NUM_INLIERS, ViewGraph

Peer = Literal["incremental", "global", "hierarchical"]
PEERS: tuple[Peer, ...] = get_args(Peer)
Models = dict[int, pycolmap.Reconstruction]


def run_peer(
    mapper: Peer, database: Path, options: pycolmap.IncrementalPipelineOptions, colmap: ColmapValues
) -> tuple[pycolmap.Reconstruction, ...]:
    """Models of COLMAP's mapper that have at least the configured number of images, largest first."""
    if not len(ViewGraph.read(database)):
        return ()  # the global mapper fails on a graph without edges
    run = {"incremental": _incremental, "global": _global, "hierarchical": _hierarchical}[mapper]
    with scratch_folder() as folder:
        models = run(database, folder, options, colmap).values()
    kept = [model for model in models if model.num_reg_images() >= options.min_model_size]
    return tuple(sorted(kept, key=lambda model: -model.num_reg_images()))


def global_options(
    options: pycolmap.IncrementalPipelineOptions, colmap: ColmapValues
) -> pycolmap.GlobalPipelineOptions:
    """Options of COLMAP's global pipeline with the values of its incremental one, then `colmap`."""
    peer = pycolmap.GlobalPipelineOptions()
    peer.min_num_matches, peer.min_model_size = MIN_NUM_INLIERS, options.min_model_size
    peer.num_threads = peer.mapper.num_threads = options.num_threads
    peer.random_seed = peer.mapper.random_seed = options.random_seed
    adjustment = peer.mapper.bundle_adjustment
    adjustment.refine_focal_length = options.ba_refine_focal_length
    adjustment.refine_extra_params = options.ba_refine_extra_params
    adjustment.refine_principal_point = options.ba_refine_principal_point
    triangulation = peer.mapper.retriangulation
    triangulation.max_extra_param = options.max_extra_param
    triangulation.max_focal_length_ratio = options.max_focal_length_ratio
    colmap.set_on("global_pipeline", peer)
    colmap.set_on("global_mapper", peer.mapper)
    return peer


def restore_intrinsics(
    model: pycolmap.Reconstruction, given: Mapping[int, pycolmap.Camera], fixed: frozenset[int] | set[int]
) -> bool:
    """Restore `fixed` intrinsics after the global mapper, which has no constant cameras; whether any had
    changed."""
    changed = False
    for camera_id in sorted(fixed.intersection(model.cameras)):
        params = list(given[camera_id].params)
        changed |= not np.array_equal(model.camera(camera_id).params, params)
        model.camera(camera_id).params = params
    return changed


def _incremental(
    database: Path, folder: Path, options: pycolmap.IncrementalPipelineOptions, _: ColmapValues
) -> Models:
    return pycolmap.incremental_mapping(database, folder, folder, options)


def _global(
    database: Path, folder: Path, options: pycolmap.IncrementalPipelineOptions, colmap: ColmapValues
) -> Models:
    models = pycolmap.global_mapping(database, folder, folder, global_options(options, colmap))
    if not options.constant_cameras:
        return models
    with pycolmap.Database.open(database) as db:
        given = {camera.camera_id: camera for camera in db.read_all_cameras()}
    for model in models.values():
        if restore_intrinsics(model, given, options.constant_cameras):
            _adjust_with_constant(model, options)
    return models


def _adjust_with_constant(
    model: pycolmap.Reconstruction, options: pycolmap.IncrementalPipelineOptions
) -> None:
    """Poses and points that go with the given intrinsics."""
    config = all_photos(model, constant_cameras=options.constant_cameras)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    adjustment = options.get_global_bundle_adjustment()
    pycolmap.create_default_bundle_adjuster(adjustment, config, model).solve()
    model.update_point_3d_errors()


def _hierarchical(
    database: Path, folder: Path, options: pycolmap.IncrementalPipelineOptions, colmap: ColmapValues
) -> Models:
    peer = pycolmap.HierarchicalPipelineOptions()
    peer.num_threads, peer.num_workers = options.num_threads, 1
    peer.incremental_options = options
    try:
        return pycolmap.hierarchical_mapping(database, folder, folder, peer)
    except IndexError:  # pycolmap 4.2 fails where a cluster has no model
        return _incremental(database, folder, options, colmap)
