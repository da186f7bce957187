"""pycolmap's options as options of ours: names, types and ranges come from pycolmap."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from sfm.untrusted.suggestions import nearest

from .colmap import GROUPS, SECTION, ColmapValues, Value, set_value
from .options import Option

_NO_GPU = "COLMAP's functions run on the CPU here"
_BY_TRIALS = "each attempt is counted by register.mapper graph itself"
_NESTED = {
    "feature_extraction.sift": "sift_extraction",
    "feature_matching.sift": "sift_matching",
    "incremental_pipeline.mapper": "incremental_mapper",
    "incremental_pipeline.triangulation": "incremental_triangulator",
    "global_pipeline.mapper": "global_mapper",
}
"""Parts of a class that are sections of their own."""

CONTROLLED = {
    "random_seed": "use run.seed",
    "num_threads": "use run.threads",
    "use_gpu": _NO_GPU,
    "gpu_index": _NO_GPU,
    "ba_use_gpu": _NO_GPU,
    "ba_gpu_index": _NO_GPU,
    "backend": _NO_GPU,
    "ba_local_backend": _NO_GPU,
    "ba_global_backend": _NO_GPU,
    "fix_existing_frames": "use register.poses",
    "refine_focal_length": "use refine.focal_length",
    "refine_principal_point": "use refine.principal_point",
    "feature_extraction.type": "use backend",
    "feature_extraction.max_image_size": "use sift.max_image_size",
    "sift_extraction.max_num_features": "use sift.max_num_features",
    "sift_extraction.upright": "use sift.upright",
    "sift_extraction.normalization": "retrieval compares RootSIFT",
    "feature_matching.type": "use backend",
    "feature_matching.skip_geometric_verification": "pairs are always verified",
    "two_view_geometry.min_num_inliers": "use verify.min_num_inliers",
    "two_view_geometry.ransac.max_error": "use verify.max_error_px",
    "incremental_pipeline.min_num_matches": "use verify.min_num_inliers",
    "incremental_pipeline.min_model_size": "use register.min_model_size",
    "incremental_pipeline.max_num_models": "use register.max_models",
    "incremental_pipeline.multiple_models": "use register.max_models",
    "incremental_pipeline.extract_colors": "models are coloured when they are written",
    "incremental_pipeline.ba_refine_focal_length": "use refine.focal_length",
    "incremental_pipeline.ba_refine_principal_point": "use refine.principal_point",
    "incremental_pipeline.use_prior_position": "use georeference.adjust",
    "incremental_mapper.max_reg_trials": _BY_TRIALS,
    "incremental_mapper.init_max_reg_trials": _BY_TRIALS,
    "bundle_adjustment.refine_extra_params": "use colmap.incremental_pipeline.ba_refine_extra_params",
    "bundle_adjustment.print_summary": "what is logged is not an option",
    "bundle_adjustment.ceres.loss_function_type": "use refine.loss_function",
    "global_pipeline.min_num_matches": "use verify.min_num_inliers",
    "global_pipeline.min_model_size": "use register.min_model_size",
    "global_pipeline.multiple_models": "use register.max_models",
}
"""What the engine sets, by name below `colmap` or by the last part alone, with what to do instead."""


@cache
def colmap_options() -> Mapping[str, Option]:
    """Every option of pycolmap's that can be set, by its full name."""
    return {option.name: option for group in GROUPS for option in _below(group, ColmapValues().made(group))}


def find_colmap_option(name: str) -> Option | str:
    """The option of the full name, dotted, with `colmap.` in front; or why it cannot be set."""
    if found := colmap_options().get(name):
        return found
    path = name.removeprefix(SECTION).lstrip(".")
    group = path.partition(".")[0]
    if inside := [known for known in colmap_options() if known.startswith(f"{name}.")]:
        return f"is a section; set one of its options, such as {inside[0]}=…"
    for outer, own in _NESTED.items():
        if f"{path}.".startswith(f"{outer}."):
            return f"belongs to another section: {SECTION}.{own}{path.removeprefix(outer)}"
    if group in GROUPS and _exists(path):
        return ": ".join(filter(None, ("is set by the engine", _why_not(path))))
    return _unknown(name, group)


def refusal(name: str, value: Value) -> str | None:
    """Why pycolmap itself refuses the value of an option, by full name; None: it does not."""
    import pycolmap

    group, _, rest = name.removeprefix(f"{SECTION}.").partition(".")
    options = ColmapValues().made(group)
    silent, pycolmap.logging.minloglevel = pycolmap.logging.minloglevel, 3
    try:
        set_value(options, rest, value)
        fits = all(_passes(some) for some in _along(options, rest))
    except (TypeError, ValueError):  # pycolmap's, with a line of its source
        fits = False
    finally:
        pycolmap.logging.minloglevel = silent
    return None if fits else f"is out of the range that pycolmap's {GROUPS[group].cls} takes"


def _below(path: str, options: Any) -> Iterator[Option]:
    for key in options.todict(recursive=False):
        inner, value = f"{path}.{key}", getattr(options, key)
        if hasattr(value, "todict"):
            if inner not in _NESTED:
                yield from _below(inner, value)
        elif (annotation := _annotation(value)) is not None and _why_not(inner) is None:
            doc = " ".join((getattr(type(options), key).__doc__ or "").split()) or "See COLMAP."
            default = value if annotation in (bool, int, float) else value.name
            yield Option(f"{SECTION}.{inner}", annotation, default, doc)


def _annotation(value: object) -> Any:
    """How a value is written; None for paths, lists and the like, which are the engine's."""
    if isinstance(value, bool | int | float):
        return type(value)
    if members := getattr(type(value), "__members__", None):
        return Literal[tuple(members)]
    return None


def _why_not(path: str) -> str | None:
    return CONTROLLED.get(path) or CONTROLLED.get(path.rpartition(".")[2])


def _exists(path: str) -> bool:
    group, _, rest = path.partition(".")
    options = ColmapValues().made(group)
    try:
        for part in rest.split("."):
            options = getattr(options, part)
    except AttributeError:
        return False
    return True


def _unknown(name: str, group: str) -> str:
    leaf, known = name[:200].rpartition(".")[2], colmap_options()
    same = [other for other in known if other.rpartition(".")[2] == leaf]
    if not same:
        siblings = {n.rpartition(".")[2]: n for n in known if n.startswith(f"{SECTION}.{group}.")}
        anywhere = {n.rpartition(".")[2]: n for n in reversed(list(known))}
        pool = siblings if nearest(leaf, siblings, cutoff=0.65) else anywhere
        same = [pool[near] for near in nearest(leaf, pool, count=3, cutoff=0.65)]
    of = f" of pycolmap's {GROUPS[group].cls}" if group in GROUPS else ""
    if same:
        return f"unknown option{of} (did you mean {' or '.join(map(repr, same[:3]))}?)"
    return f"unknown option{of}; sections of {SECTION} are {', '.join(GROUPS)}"


def _along(options: Any, name: str) -> Iterator[Any]:
    yield options
    for part in name.split(".")[:-1]:
        options = getattr(options, part)
        yield options


def _passes(options: Any) -> bool:
    check = getattr(options, "check", None)
    return check is None or check() is not False
