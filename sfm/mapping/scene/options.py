"""COLMAP's options for our loop: its own defaults, with our configuration on top."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

import pycolmap

from sfm.config.colmap import ColmapValues
from sfm.config.schema import RefineConfig, RegisterConfig

_MAX_LONGER = 2.0  # than its prior a focal length may become
_LOCAL_ITERATIONS = 10
_TOLERANCE = 1e-8
_NEAR_OPTIMUM = 1e8
"""Trust region of adjustments that start near their end: Gauss-Newton from the first step, a third of the
steps that Ceres takes from its default, to the same end."""
_SETTLING_TOLERANCE = 1e-3
_SETTLED_CHANGE = 5e-3
"""Share of the observations: where fewer changed, no further round. Dropping outliers and another adjustment
follow; ten times less, COLMAP's, takes an adjustment more and moves AUC@1 by less than 0.1."""
_GROWING_ITERATIONS = 10
_GROWING_TOLERANCE = 1e-3
_GROWTH_RATIO = 2.0
"""Up to 40 images 1.3 at most."""
_COVERAGE_GAIN = 0.4
"""Smallest gain of coverage with which a point takes part in adjustments of a large growing model."""


@dataclass(frozen=True, slots=True)
class MapperOptions:
    """Everything that the steps hand to `pycolmap.IncrementalMapper`."""

    pipeline: pycolmap.IncrementalPipelineOptions
    mapper: pycolmap.IncrementalMapperOptions
    lenient: pycolmap.IncrementalMapperOptions
    """For images that nothing else registers: fewer inliers, but a larger share of what they see."""
    growing: pycolmap.IncrementalMapperOptions
    """Options of adjustments of a growing model: points with little gain of coverage are left out."""
    growing_large: pycolmap.IncrementalMapperOptions
    """The same with still fewer points, for models of many images."""
    colmap: ColmapValues
    """What the user sets of pycolmap's options."""
    growth_ratio: float
    """Such an adjustment is due when images or points have grown by this factor."""
    triangulation: pycolmap.IncrementalTriangulatorOptions
    local_ba: pycolmap.BundleAdjustmentOptions
    growing_ba: pycolmap.BundleAdjustmentOptions
    """With a robust loss: one pass has to do where the full adjustment filters and repeats."""
    global_ba: pycolmap.BundleAdjustmentOptions
    settling_ba: pycolmap.BundleAdjustmentOptions
    """For a grown model whose outliers are to be found: stopped when little changes."""
    final_ba: pycolmap.BundleAdjustmentOptions
    """For a settled model."""
    converge_first: bool = False
    """Whether adjustments come to their end before anything else is done, however little changes."""
    frozen: bool = False
    """Whether the poses that a session finds, and the frame of the model, stay as they are."""
    guessed_focal_lengths: Mapping[int, float] = field(default_factory=dict)
    """Px, by camera id, where nobody gave one but a backend guessed it; see `cameras/focal_priors.py`."""
    holds_given: bool = True
    """Whether these and those from EXIF are held until the observations determine better ones; see there."""


def pipeline_options(
    config: RegisterConfig, refine: RefineConfig, *, fixed_cameras: Set[int], threads: int, seed: int
) -> pycolmap.IncrementalPipelineOptions:
    """Options of COLMAP's incremental pipeline with the values of our configuration."""
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = threads, seed
    options.min_model_size, options.max_num_models = config.min_model_size, config.max_models
    options.extract_colors = False  # done once, when the model is written
    options.ba_refine_focal_length = refine.focal_length
    options.constant_cameras = set(fixed_cameras)
    options.mapper.random_seed = options.triangulation.random_seed = seed
    config.colmap.set_on("incremental_pipeline", options)
    config.colmap.set_on("incremental_mapper", options.mapper)
    config.colmap.set_on("incremental_triangulator", options.triangulation)
    return options


def mapper_options(
    config: RegisterConfig,
    refine: RefineConfig,
    *,
    fixed_cameras: Set[int],
    guessed_focal_lengths: Mapping[int, float] = MappingProxyType({}),
    longest_prior: float = 0.0,
    threads: int,
    seed: int,
) -> MapperOptions:
    """Options of each of our steps; `longest_prior` is the longest known focal length, in longer sides."""
    pipeline = pipeline_options(config, refine, fixed_cameras=fixed_cameras, threads=threads, seed=seed)
    pipeline.ba_global_function_tolerance = _TOLERANCE
    pipeline.ba_global_max_refinement_change = _SETTLED_CHANGE
    pipeline.ba_local_max_refinements = 1  # the next adjustment of the whole model filters again
    pipeline.ba_local_max_num_iterations = _LOCAL_ITERATIONS
    # Long lenses have large coefficients of distortion; `plausible` bounds them by what they do.
    pipeline.max_extra_param = math.inf
    pipeline.max_focal_length_ratio = max(pipeline.max_focal_length_ratio, _MAX_LONGER * longest_prior)
    config.colmap.set_on("incremental_pipeline", pipeline)
    mapper = pipeline.get_mapper()
    mapper.random_seed = seed
    # The loop itself decides when another attempt makes sense; COLMAP's counters must not.
    mapper.max_reg_trials = mapper.init_max_reg_trials = 1_000_000
    config.colmap.set_on("incremental_mapper", mapper)
    triangulation = pipeline.get_triangulation()
    triangulation.random_seed = seed
    config.colmap.set_on("incremental_triangulator", triangulation)
    local_ba, global_ba = pipeline.get_local_bundle_adjustment(), pipeline.get_global_bundle_adjustment()
    for adjustment in (local_ba, global_ba):
        adjustment.print_summary = False
        adjustment.ceres.solver_options.num_threads = threads
        config.colmap.set_on("bundle_adjustment", adjustment)
    return MapperOptions(
        pipeline=pipeline,
        mapper=mapper,
        lenient=_lenient(mapper),
        growing=_growing(mapper),
        growing_large=_growing_large(mapper),
        colmap=config.colmap,
        growth_ratio=_GROWTH_RATIO,
        triangulation=triangulation,
        local_ba=local_ba,
        growing_ba=_robust(global_ba),
        global_ba=global_ba,
        settling_ba=_near(global_ba, _SETTLING_TOLERANCE),
        final_ba=_near(global_ba, _TOLERANCE),
        guessed_focal_lengths=dict(guessed_focal_lengths),
    )


def with_two_view_tracks(options: MapperOptions) -> MapperOptions:
    """Points that two images see alone are triangulated too; COLMAP leaves them out."""
    return replace(options, triangulation=two_view_triangulation(options))


def two_view_triangulation(options: MapperOptions) -> pycolmap.IncrementalTriangulatorOptions:
    """How points are made where those that two images see alone are wanted, too."""
    triangulation = copy.copy(options.triangulation)
    triangulation.ignore_two_view_tracks = False
    return triangulation


def with_patience(options: MapperOptions) -> MapperOptions:
    """Whether outliers are filtered after adjustments have converged, not when little changes.

    A long street bends at almost no cost, and the observations with the largest residuals keep it straight.
    """
    return replace(options, settling_ba=options.final_ba, converge_first=True)


def with_frozen_poses(options: MapperOptions) -> MapperOptions:
    """Sessions that leave alone all poses of the model that they are opened on."""

    def freeze(mapper: pycolmap.IncrementalMapperOptions) -> None:
        mapper.fix_existing_frames = True

    return replace(_with_each_mapper(options, freeze), frozen=True)


def with_constant_cameras(options: MapperOptions, cameras: Set[int]) -> MapperOptions:
    """The intrinsics of these cameras stay as well."""

    def hold(mapper: pycolmap.IncrementalMapperOptions) -> None:
        mapper.constant_cameras = set(mapper.constant_cameras) | cameras

    return _with_each_mapper(options, hold) if cameras else options


def _with_each_mapper(
    options: MapperOptions, change: Callable[[pycolmap.IncrementalMapperOptions], None]
) -> MapperOptions:
    used = (options.mapper, options.lenient, options.growing, options.growing_large)
    mapper, lenient, growing, growing_large = changed = [copy.copy(some) for some in used]
    for some in changed:
        change(some)
    return replace(options, mapper=mapper, lenient=lenient, growing=growing, growing_large=growing_large)


def with_threads(options: MapperOptions, threads: int) -> MapperOptions:
    """The same with another number of threads."""
    changed = {one.name: copy.deepcopy(getattr(options, one.name)) for one in fields(options)}
    for some in changed.values():
        if isinstance(some, pycolmap.BundleAdjustmentOptions):
            some.ceres.solver_options.num_threads = threads
        elif isinstance(some, pycolmap.IncrementalPipelineOptions | pycolmap.IncrementalMapperOptions):
            some.num_threads = threads
    return replace(options, **changed)


def _lenient(options: pycolmap.IncrementalMapperOptions) -> pycolmap.IncrementalMapperOptions:
    """Twelve points within 12 px of one pose hardly agree by chance; half of all that are visible must."""
    lenient = copy.copy(options)
    lenient.abs_pose_min_num_inliers = math.ceil(0.4 * options.abs_pose_min_num_inliers)
    lenient.abs_pose_min_inlier_ratio = max(0.5, options.abs_pose_min_inlier_ratio)
    return lenient


def _growing(options: pycolmap.IncrementalMapperOptions) -> pycolmap.IncrementalMapperOptions:
    growing = copy.copy(options)
    growing.ba_global_ignore_redundant_points3D = True
    return growing


def _growing_large(options: pycolmap.IncrementalMapperOptions) -> pycolmap.IncrementalMapperOptions:
    growing = _growing(options)
    growing.ba_global_prune_points_min_coverage_gain = _COVERAGE_GAIN
    return growing


def _robust(options: pycolmap.BundleAdjustmentOptions) -> pycolmap.BundleAdjustmentOptions:
    robust = copy.deepcopy(options)
    robust.ceres.loss_function_type = pycolmap.LossFunctionType.SOFT_L1
    robust.ceres.solver_options.max_num_iterations = _GROWING_ITERATIONS
    robust.ceres.solver_options.function_tolerance = _GROWING_TOLERANCE
    return robust


def _near(options: pycolmap.BundleAdjustmentOptions, tolerance: float) -> pycolmap.BundleAdjustmentOptions:
    near = copy.deepcopy(options)
    near.ceres.solver_options.function_tolerance = tolerance
    near.ceres.solver_options.initial_trust_region_radius = _NEAR_OPTIMUM
    return near
