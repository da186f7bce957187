"""Options of earlier versions: their present names, for messages and for the run.json of earlier runs."""

from collections.abc import Iterator, Mapping
from functools import cache

from .colmap import SECTION
from .options import INTERNAL, Option, internal_tree, nested

_COLMAP = {
    "sift.peak_threshold": "sift_extraction.peak_threshold",
    "sift.edge_threshold": "sift_extraction.edge_threshold",
    "sift.estimate_affine_shape": "sift_extraction.estimate_affine_shape",
    "sift.domain_size_pooling": "sift_extraction.domain_size_pooling",
    "matching.max_ratio": "sift_matching.max_ratio",
    "matching.max_distance": "sift_matching.max_distance",
    "matching.cross_check": "sift_matching.cross_check",
    "matching.guided": "feature_matching.guided_matching",
    "matching.max_num_matches": "feature_matching.max_num_matches",
    "verify.min_inlier_ratio": "two_view_geometry.min_inlier_ratio",
    "register.init_min_num_inliers": "incremental_mapper.init_min_num_inliers",
    "register.init_min_tri_angle_deg": "incremental_mapper.init_min_tri_angle",
    "register.abs_pose_min_num_inliers": "incremental_mapper.abs_pose_min_num_inliers",
    "register.abs_pose_max_error_px": "incremental_mapper.abs_pose_max_error",
    "register.structure_less_fallback": "incremental_pipeline.structure_less_registration_fallback",
    "register.filter_max_reproj_error_px": "incremental_mapper.filter_max_reproj_error",
    "register.filter_min_tri_angle_deg": "incremental_mapper.filter_min_tri_angle",
    "refine.extra_params": "incremental_pipeline.ba_refine_extra_params",
}
_REGISTER = {"register.suspects": "register.inconsistent_pairs"}
_VALUES = {("register.inconsistent_pairs", "hold_back"): "defer"}
_GUIDED = "register.guided", "internal.register.guided"
_GONE = ("mast3r.token_cache_gb", "register.global_growth_ratio", "export.points_ply", *_GUIDED)


@cache
def earlier_names() -> Mapping[str, str]:
    """Options of earlier versions by name, with what they are called now; "" where they are gone."""
    internal = [option.name for option in internal_tree().options()]
    return {
        **{name.removeprefix(f"{INTERNAL}."): name for name in internal},
        **{old: f"{SECTION}.{new}" for old, new in _COLMAP.items()},
        **_REGISTER,
        **dict.fromkeys(_GONE, ""),
    }


def present_value(name: str, value: object) -> object:
    """What a value of earlier versions is called now; `name` is that of today."""
    return _VALUES.get((name, str(value)), value)


def is_earlier_section(name: str) -> bool:
    """Whether earlier versions had a section of that name, which is gone."""
    return any(old.startswith(f"{name}.") for old in _COLMAP)


def translated(config: Mapping[str, object]) -> dict[str, object]:
    """The configuration of a run.json with the names of today; what was the default then is left out."""
    result: dict[str, object] = {}
    for name, value in _flat(config, ""):
        new = earlier_names().get(name)
        if new is None:
            result[name] = value
        elif new and not _is_default(new, value):
            result[new] = present_value(new, value)
    return nested(result)


def _flat(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_default(name: str, value: object) -> bool:
    if name.startswith(f"{SECTION}."):
        from .colmap_options import find_colmap_option  # which brings pycolmap

        found = find_colmap_option(name)
        return isinstance(found, Option) and found.default == value
    return any(option.name == name and option.default == value for option in internal_tree().options())
