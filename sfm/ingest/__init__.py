"""From a folder of files to a collection of sound photos with cameras, thumbnails and masks."""

from __future__ import annotations

from sfm.ingest.decode import load_gray, load_rgb
from sfm.ingest.masks import masks_dir
from sfm.ingest.stage import ingest, require_photos, thumbnail_path

__all__ = ["ingest", "load_gray", "load_rgb", "masks_dir", "require_photos", "thumbnail_path"]
