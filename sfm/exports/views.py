"""Export of depth, confidence, a dense cloud and a scene: what the network sees, in the model's frame."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from sfm.exports.dense_cloud import Cloud, dense_cloud, nothing, write_cloud_ply
from sfm.exports.depth_of_model import depth_of_model
from sfm.exports.depth_set import DepthSet
from sfm.exports.glb import Pictures, write_glb
from sfm.exports.mesh import Surfaces
from sfm.exports.names import flat_names
from sfm.exports.source import DepthOptions, Source
from sfm.exports.view_files import png_unit, write_view
from sfm.exports.view_maps import Grid
from sfm.workspace.events import read_events

log = logging.getLogger(__name__)

_CONVENTIONS = {
    "depth": "float32 along the optical axis, in `unit`; 0 is unknown or masked out",
    "depth_png": "16 bit, times `png_unit`; 0 is unknown, masked out, or below `min_confidence`",
    "confidence": "float32 > 1 as the network gives it; 8-bit PNG: 255 (1 - 1 / confidence)",
    "pixels": "centres at 0.5; photo position = scale * pixel + offset; photos as stored, EXIF not applied",
    "intrinsics": "of the map's pixels, lens distortion left out; `photo_camera` has it, in COLMAP's terms",
}


def write_views(source: Source, folder: Path) -> Mapping[str, str]:
    """Write `depth/`, `confidence/`, `points.ply`, `scene.glb` and `views.json`.

    Returns:
        The files' stem by image name.

    Raises:
        WeightsError, MissingDependencyError: there is no aligned depth, and no network or not the device.
        InputError: a photo is missing or has changed since the run.
        ReconstructionError: no photo's depth agrees with the model.
    """
    options = source.depth or DepthOptions()
    with depth_of_model(source, folder) as depths:
        stems = {name: PurePosixPath(flat).stem for name, flat in flat_names(depths.views).items()}
        grids = {name: Grid.of_network(depths.photos.maps[name]) for name in depths.views}
        surfaces = Surfaces.limited(depths.colours, _num_pixels(grids), options.max_points)
        cloud = dense_cloud(
            depths,
            min_confidence=options.min_confidence,
            max_points=options.max_points,
            progress=source.progress,
            on_view=surfaces.add if options.scene.surface == "mesh" else nothing,
        )
        write_cloud_ply(cloud, folder / "points.ply")
        _warn_of_nothing(cloud, surfaces if options.scene.surface == "mesh" else None, options)
        write_glb(
            depths.model,
            cloud,
            depths.photos.orientations,
            folder / "scene.glb",
            options=options.scene,
            surfaces=surfaces.found,
            pictures=Pictures(grids, depths.colours),
        )
        unit = png_unit(depths.views.values())
        too_far = _write_maps(source, depths, stems, unit, folder)
        summary = _summary(source, depths, stems, cloud, unit) | {
            "num_too_far_for_png": too_far,
            "mesh": _of_mesh(surfaces) if options.scene.surface == "mesh" else None,
        }
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    (folder / "views.json").write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    for name, why in depths.left_out.items():
        log.warning("%s: no depth: %s", name, why)
    return stems


def _warn_of_nothing(cloud: Cloud, surfaces: Surfaces | None, options: DepthOptions) -> None:
    """Say why a scene shows no points, or no surface."""
    if not cloud.num_confident:
        log.warning(
            "no pixel of any photo has a confidence of %g: the cloud is empty; a smaller min_confidence "
            "keeps more (the network's confidences start at 1)",
            options.min_confidence,
        )
    elif not len(cloud.xyz):
        log.warning(
            "the cloud is empty: of %d confident pixels %d lie at a jump in depth and %d before what another "
            "photo sees; the depth or the poses are wrong",
            cloud.num_confident,
            cloud.num_edges,
            cloud.num_conflicts,
        )
    elif surfaces is not None and not surfaces.found:
        log.warning(
            "the mesh has no triangle, so that scene.glb shows points: with %d pixels between corners, no "
            "four neighbours lie on a surface; more points bring corners closer together",
            surfaces.step,
        )


def _num_pixels(grids: Mapping[str, Grid]) -> int:
    return sum(grid.size[0] * grid.size[1] for grid in grids.values())


def _of_mesh(surfaces: Surfaces) -> dict[str, int]:
    return {
        "corners": sum(len(one.corners) for one in surfaces.found),
        "triangles": sum(len(one.triangles) for one in surfaces.found),
        "pixels_between_corners": surfaces.step,
    }


def _write_maps(source: Source, depths: DepthSet, stems: Mapping[str, str], unit: float, folder: Path) -> int:
    options = source.depth or DepthOptions()
    for part in ("depth", "confidence"):
        (folder / part).mkdir()
    num_too_far = 0
    with source.progress.task("files", len(stems), unit="photos") as task:
        for name, stem in stems.items():
            view = depths.full_view(name) if options.full_size else depths.view(name)
            usable = view.usable(options.min_confidence)
            num_too_far += write_view(view, depths.views[name], stem, folder, usable, unit)
            task.advance()
    return num_too_far


def _summary(
    source: Source, depths: DepthSet, stems: Mapping[str, str], cloud: Cloud, unit: float
) -> dict[str, object]:
    options = source.depth or DepthOptions()
    return {
        "unit": "m" if options.metres or _is_metric(source) else "unit of the model",
        "metres_per_model_unit": depths.metres_per_unit,
        "png_unit": unit,
        "conventions": _CONVENTIONS,
        "min_confidence": options.min_confidence,
        "pairs_per_view": options.pairs_per_view,
        "full_size": options.full_size,
        "depth_from": "alignment" if depths.is_aligned else "network",
        "network": depths.origin.network,
        "image_size": depths.photos.image_size,
        "notice": depths.origin.notice,
        "scene": asdict(options.scene),
        "points": {
            "written": len(cloud.xyz),
            "wanted_at_most": options.max_points,
            "confident_pixels": cloud.num_confident,
            "left_out_at_depth_edges": cloud.num_edges,
            "left_out_as_conflicting": cloud.num_conflicts,
            "voxel": cloud.voxel,
        },
        "views": {name: {"file": stems[name], **asdict(view.fit)} for name, view in depths.views.items()},
        "without_depth": dict(depths.left_out),
    }


def _is_metric(source: Source) -> bool:
    events = read_events(source.events_path)
    own = [event for event in events if event.get("model") == source.index]
    return any(e.get("event") == "metric_scale" or e.get("metric") is True for e in own)
