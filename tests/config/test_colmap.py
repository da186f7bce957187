"""Options of pycolmap's own classes, from a configuration to the objects that the engine hands over."""

from pathlib import Path
from typing import Any

import pytest

from sfm.config.colmap_options import CONTROLLED, colmap_options, refusal
from sfm.config.loading import load_config
from sfm.config.options import Option
from sfm.config.printing import config_schema
from sfm.config.renamed import earlier_names
from sfm.config.schema import Config
from sfm.config.values import find_option
from sfm.errors import ConfigError
from sfm.mapping.scene.colmap_mappers import global_options
from sfm.mapping.scene.options import MapperOptions, mapper_options, pipeline_options
from sfm.matching.sift.colmap_extraction import extraction_options
from sfm.matching.sift.matching import matching_options
from sfm.matching.verification import verification_options

SET = {
    "sift_extraction.peak_threshold": 0.01,
    "sift_extraction.estimate_affine_shape": True,
    "feature_matching.guided_matching": True,
    "sift_matching.max_ratio": 0.7,
    "two_view_geometry.min_inlier_ratio": 0.1,
    "two_view_geometry.ransac.max_num_trials": 500,
    "incremental_pipeline.ba_refine_extra_params": False,
    "incremental_pipeline.ba_local_max_num_iterations": 7,
    "incremental_pipeline.structure_less_registration_fallback": False,
    "incremental_mapper.init_min_num_inliers": 50,
    "incremental_mapper.image_selection_method": "MIN_UNCERTAINTY",
    "incremental_triangulator.min_angle": 2.5,
    "bundle_adjustment.min_track_length": 3,
    "bundle_adjustment.ceres.solver_options.max_linear_solver_iterations": 99,
    "global_pipeline.decompose_relative_pose": False,
    "global_mapper.global_positioning.loss_function_scale": 0.2,
}


def configured(*overrides: str) -> Config:
    return load_config(overrides=[f"colmap.{override}" for override in overrides])


def refused(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=overrides)
    return str(caught.value)


def mapper_of(config: Config) -> MapperOptions:
    return mapper_options(config.register, config.refine, fixed_cameras=frozenset(), threads=1, seed=0)


def test_what_is_set_reaches_the_objects_of_its_class() -> None:
    config = configured(*(f"{name}={value}" for name, value in SET.items()))
    mapper = mapper_of(config)
    found: dict[str, Any] = {
        "sift_extraction": extraction_options(config.sift, 1).sift,
        "feature_matching": matching_options(config.matching, 1),
        "sift_matching": matching_options(config.matching, 1).sift,
        "two_view_geometry": verification_options(config.verify, 0),
        "incremental_pipeline": mapper.pipeline,
        "incremental_mapper": mapper.mapper,
        "incremental_triangulator": mapper.triangulation,
        "bundle_adjustment": mapper.final_ba,
        "global_pipeline": global_options(mapper.pipeline, mapper.colmap),
        "global_mapper": global_options(mapper.pipeline, mapper.colmap).mapper,
    }

    for name, value in SET.items():
        group, *parts = name.split(".")
        reached = found[group]
        for part in parts:
            reached = getattr(reached, part)
        assert getattr(reached, "name", reached) == value, name
    assert mapper.local_ba.ceres.solver_options.max_num_iterations == 7
    peers = pipeline_options(config.register, config.refine, fixed_cameras=set(), threads=1, seed=0)
    assert peers.mapper.init_min_num_inliers == 50


def test_the_engine_s_own_options_keep_their_place() -> None:
    config = load_config(overrides=["refine.focal_length=false", "run.seed=3"])

    assert not mapper_of(config).global_ba.refine_focal_length
    assert mapper_of(Config()).global_ba.refine_focal_length


@pytest.mark.parametrize("name", [new for new in earlier_names().values() if new.startswith("colmap.")])
def test_pycolmap_s_defaults_are_those_that_the_engine_was_measured_with(name: str) -> None:
    measured = {
        "peak_threshold": 0.02 / 3,
        "edge_threshold": 10.0,
        "max_ratio": 0.8,
        "max_distance": 0.7,
        "max_num_matches": 32768,
        "min_inlier_ratio": 0.0,
        "init_min_num_inliers": 100,
        "init_min_tri_angle": 16.0,
        "abs_pose_min_num_inliers": 30,
        "abs_pose_max_error": 12.0,
        "filter_max_reproj_error": 4.0,
        "filter_min_tri_angle": 1.5,
        **dict.fromkeys(
            ("cross_check", "structure_less_registration_fallback", "ba_refine_extra_params"), True
        ),
        **dict.fromkeys(("guided_matching", "estimate_affine_shape", "domain_size_pooling"), False),
    }

    assert colmap_options()[name].default == measured[name.rpartition(".")[2]]


def test_every_option_takes_its_own_default() -> None:
    assert [name for name, o in colmap_options().items() if refusal(name, o.default)] == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "colmap.sift_matching.maxratio=1",
            "SiftMatchingOptions (did you mean 'colmap.sift_matching.max_ratio'?)",
        ),
        (
            "colmap.incremental_mapper.peak_threshold=1",
            "did you mean 'colmap.sift_extraction.peak_threshold'?",
        ),
        ("colmap.feature_matching.sift.max_ratio=1", "another section: colmap.sift_matching.max_ratio"),
        ("colmap.nowhere=1", "sections of colmap are feature_extraction, sift_extraction"),
        ("colmap.incremental_mapper=1", "is a section; set one of its options"),
        ("colmap.sift_matching.max_ratio=high", "should be a valid number (got 'high')"),
        ("colmap.sift_matching.max_ratio=0", "out of the range that pycolmap's SiftMatchingOptions takes"),
        ("colmap.two_view_geometry.ransac.confidence=1.2", "out of the range"),
        ("colmap.incremental_mapper.image_selection_method=BEST", "should be 'MAX_VISIBLE_POINTS_NUM'"),
        ("colmap.feature_matching.num_threads=2", "is set by the engine: use run.threads"),
        ("colmap.incremental_triangulator.random_seed=2", "is set by the engine: use run.seed"),
        ("colmap.two_view_geometry.ransac.max_error=2", "is set by the engine: use verify.max_error_px"),
        ("colmap.incremental_pipeline.snapshot_path=x", "is set by the engine"),
    ],
)
def test_what_cannot_be_set_is_refused_with_what_can(name: str, reason: str) -> None:
    assert reason in refused(name)


@pytest.mark.parametrize("reason", sorted({*CONTROLLED.values()}))
def test_the_options_that_refusals_name_exist(reason: str) -> None:
    _, _, name = reason.partition("use ")
    assert not name or isinstance(find_option(name), Option)


@pytest.mark.parametrize("name", [name for name in CONTROLLED if "." in name])
def test_what_the_engine_sets_is_there_to_be_set(name: str) -> None:
    assert refused(f"colmap.{name}=1").endswith(f"is set by the engine: {CONTROLLED[name]}")


def test_a_file_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "colmap:\n  sift_matching:\n    max_ratio: x\n    max_ratio: 1\nmatching:\n  guided: true\n"
    )

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert str(caught.value).splitlines() == [
        f"{path}:3: colmap.sift_matching.max_ratio: should be a valid number (got 'x')",
        f"{path}:4: colmap.sift_matching.max_ratio: given twice (first on line 3)",
        f"{path}:6: matching.guided: is now colmap.feature_matching.guided_matching",
    ]


def test_a_value_concerns_its_own_stage_alone() -> None:
    plain, changed = Config(), configured("sift_matching.max_ratio=0.7")

    assert changed.matching != plain.matching
    assert (changed.sift, changed.verify, changed.register) == (plain.sift, plain.verify, plain.register)
    assert configured("incremental_mapper.init_max_error=3").register != plain.register


def test_editors_are_told_of_them() -> None:
    groups = config_schema()["properties"]["colmap"]["properties"]

    assert groups["sift_matching"]["properties"]["max_ratio"]["type"] == "number"
    assert "num_threads" not in groups["feature_matching"]["properties"]
