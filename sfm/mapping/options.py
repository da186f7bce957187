"""COLMAP's options for our loop: its own defaults, with our configuration on top."""

from __future__ import annotations

import copy
import math
from collections.abc import Set
from dataclasses import dataclass, replace

import pycolmap

from sfm.config.schema import RefineConfig, RegisterConfig


@dataclass(frozen=True, slots=True)
class MapperOptions:
    """Everything that the steps hand to `pycolmap.IncrementalMapper`."""

    pipeline: pycolmap.IncrementalPipelineOptions
    mapper: pycolmap.IncrementalMapperOptions
    lenient: pycolmap.IncrementalMapperOptions
    """For photos that nothing else registers: fewer inliers, but a larger share of what they see."""
    triangulation: pycolmap.IncrementalTriangulatorOptions
    local_ba: pycolmap.BundleAdjustmentOptions
    global_ba: pycolmap.BundleAdjustmentOptions


def pipeline_options(
    config: RegisterConfig, refine: RefineConfig, *, fixed_cameras: Set[int], threads: int, seed: int
) -> pycolmap.IncrementalPipelineOptions:
    """Options of COLMAP's incremental pipeline that say the same as our configuration."""
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = threads, seed
    options.min_model_size, options.max_num_models = config.min_model_size, config.max_models
    options.extract_colors = False  # done once, when the model is written
    options.ba_refine_focal_length = refine.focal_length
    options.ba_refine_extra_params = refine.extra_params
    options.constant_cameras = set(fixed_cameras)
    options.structure_less_registration_fallback = config.structure_less_fallback
    options.ba_global_frames_ratio = options.ba_global_points_ratio = config.global_growth_ratio
    _set_mapper(options.mapper, config)
    options.mapper.random_seed = options.triangulation.random_seed = seed
    return options


def mapper_options(
    config: RegisterConfig, refine: RefineConfig, *, fixed_cameras: Set[int], threads: int, seed: int
) -> MapperOptions:
    """Options of each of our steps."""
    pipeline = pipeline_options(config, refine, fixed_cameras=fixed_cameras, threads=threads, seed=seed)
    mapper = pipeline.get_mapper()
    mapper.random_seed = seed
    # The loop itself decides when another attempt makes sense; COLMAP's counters must not.
    mapper.max_reg_trials = mapper.init_max_reg_trials = 1_000_000
    triangulation = pipeline.get_triangulation()
    triangulation.random_seed = seed
    local_ba, global_ba = pipeline.get_local_bundle_adjustment(), pipeline.get_global_bundle_adjustment()
    for adjustment in (local_ba, global_ba):
        adjustment.print_summary = False
        adjustment.ceres.solver_options.num_threads = threads
    return MapperOptions(pipeline, mapper, _lenient(mapper), triangulation, local_ba, global_ba)


def with_two_view_tracks(options: MapperOptions) -> MapperOptions:
    """Points that two photos see alone are triangulated too; COLMAP leaves them out."""
    triangulation = copy.copy(options.triangulation)
    triangulation.ignore_two_view_tracks = False
    return replace(options, triangulation=triangulation)


def _lenient(options: pycolmap.IncrementalMapperOptions) -> pycolmap.IncrementalMapperOptions:
    """Twelve points within 12 px of one pose hardly agree by chance; half of all that are visible must."""
    lenient = copy.copy(options)
    lenient.abs_pose_min_num_inliers = math.ceil(0.4 * options.abs_pose_min_num_inliers)
    lenient.abs_pose_min_inlier_ratio = max(0.5, options.abs_pose_min_inlier_ratio)
    return lenient


def _set_mapper(options: pycolmap.IncrementalMapperOptions, config: RegisterConfig) -> None:
    options.init_min_num_inliers = config.init_min_num_inliers
    options.init_min_tri_angle = config.init_min_tri_angle_deg
    options.abs_pose_min_num_inliers = config.abs_pose_min_num_inliers
    options.abs_pose_max_error = config.abs_pose_max_error_px
    options.filter_max_reproj_error = config.filter_max_reproj_error_px
    options.filter_min_tri_angle = config.filter_min_tri_angle_deg
