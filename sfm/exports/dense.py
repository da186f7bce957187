"""Export of dense points: every pixel that matches of the network place, at the model's poses."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from sfm.exports.dense_cloud import dense_cloud, write_cloud_ply
from sfm.exports.glb import Pictures, write_glb
from sfm.exports.source import DepthOptions, Source
from sfm.exports.triangulated_views import triangulated_views

log = logging.getLogger(__name__)


def write_dense(source: Source, folder: Path) -> Mapping[str, str]:
    """Write `points.ply`, `scene.glb` and `dense.json`; returns nothing, since no photo is written.

    Raises:
        WeightsError, MissingDependencyError: there is no network, or not the device.
        InputError: a photo is missing or has changed since the run.
        ReconstructionError: no photo has points.
    """
    options = source.depth or DepthOptions()
    with triangulated_views(source, folder) as views:
        # Confidences of matches have passed their threshold; only points that conflict are compared by them.
        cloud = dense_cloud(
            views, min_confidence=0.0, max_points=options.max_points, progress=source.progress
        )
        write_cloud_ply(cloud, folder / "points.ply")
        write_glb(
            views.model,
            cloud,
            views.network.photos.orientations,
            folder / "scene.glb",
            options=options.scene,
            pictures=Pictures({name: views.grids[i] for name, i in views.image_ids.items()}, views.colours),
        )
        summary = {
            "network": views.network.loaded.predictor.key,
            "image_size": views.network.photos.image_size,
            "full_size": options.full_size,
            "partners": options.pairs_per_view,
            "notice": views.network.loaded.notice,
            "points": {
                "written": len(cloud.xyz),
                "wanted_at_most": options.max_points,
                "triangulated_pixels": cloud.num_confident,
                "left_out_at_depth_edges": cloud.num_edges,
                "left_out_as_conflicting": cloud.num_conflicts,
                "voxel": cloud.voxel,
            },
            "photos": len(views.image_ids),
            "without_points": dict(views.left_out),
        }
        left_out = dict(views.left_out)
    text = json.dumps(summary, indent=1, ensure_ascii=False)
    (folder / "dense.json").write_text(text + "\n", encoding="utf-8", errors="surrogateescape")
    for name, why in left_out.items():
        log.warning("%s: no points: %s", name, why)
    return {}
