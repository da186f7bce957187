"""Options of MASt3R-SfM's demo, and what is in their place here: one table for messages, and README's.

The names are the demo's; a value is an option of ours, an option of a command, or why there is none.
"""

from collections.abc import Mapping

_GRAPH = "retrieval.mast3r_sfm_graph"
_GRAPHS = f"{_GRAPH}=complete, swin-K, logwin-K, oneref-R or retrieval-A-K"
_VIEWS = "`sfm export --to views`"
_WEIGHTS = "mast3r.weights=FILE or FOLDER"

HERE: Mapping[str, str] = {
    "weights": "mast3r.weights",
    "device": "mast3r.device",
    "image_size": "mast3r.image_size",
    "model_name": f"{_WEIGHTS}, which `sfm weights` finds or fetches",
    "retrieval_model": f"found beside {_WEIGHTS}",
    "scenegraph_type": _GRAPHS,
    "scenegraph": _GRAPHS,
    "winsize": f"K of {_GRAPH}=swin-K",
    "win_cyclic": f"{_GRAPH}=swin-K or logwin-K, which close the circle; with -noncyclic they do not",
    "refid": f"R of {_GRAPH}=oneref-R",
    "optim_level": "alignment.level",
    "opt_depth": "alignment.level=refine+depth, or refine without it",
    "shared_intrinsics": "images.camera_sharing=single",
    "lr1": "internal.alignment.lr1",
    "niter1": "internal.alignment.niter1",
    "lr2": "internal.alignment.lr2",
    "niter2": "internal.alignment.niter2",
    "kinematic_mode": "internal.alignment.kinematic",
    "matching_conf_thr": "internal.alignment.matching_conf_thr",
    "subsample": "internal.mast3r.subsample_px",
    "min_conf_thr": f"--min-confidence of {_VIEWS}",
    "as_pointcloud": f"--as points or mesh of {_VIEWS} and of `sfm run`",
    "cam_size": f"--camera-size of {_VIEWS}",
    "transparent_cams": f"--plain-cameras of {_VIEWS}",
}
NOT_HERE: Mapping[str, str] = {
    "clean_depth": "depth is always cleaned",
    "TSDF_thresh": "bundle adjustment and the cleaning of depth do its work",
    "mask_sky": "masks do it (images.masks)",
}


def of_the_demo(name: str) -> str | None:
    """For a message, what an option of the demo is here; None for other names."""
    if name in HERE and HERE[name].startswith(("internal.", "mast3r.")) and " " not in HERE[name]:
        return f"is an option of MASt3R-SfM's demo (did you mean '{HERE[name]}'?)"
    if name in HERE:
        return f"is an option of MASt3R-SfM's demo; here it is {HERE[name]}"
    if name in NOT_HERE:
        return f"is an option of MASt3R-SfM's demo; here there is none: {NOT_HERE[name]}"
    return None
