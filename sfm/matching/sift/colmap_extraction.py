"""SIFT keypoints and descriptors by COLMAP, with all its options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pycolmap

from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import SiftConfig


def describe_photos(
    names: Sequence[str],
    database: FeatureDatabase,
    images_dir: Path,
    masks_dir: Path | None,
    config: SiftConfig,
    threads: int,
) -> None:
    """Write features of photos; those that COLMAP cannot read stay without."""
    reader = pycolmap.ImageReaderOptions()
    if masks_dir is not None:
        reader.mask_path = masks_dir
    pycolmap.extract_features(
        database.path,
        images_dir,
        image_names=list(names),
        reader_options=reader,
        extraction_options=extraction_options(config, threads),
        device=pycolmap.Device.cpu,
    )


def extraction_options(config: SiftConfig, threads: int) -> pycolmap.FeatureExtractionOptions:
    """pycolmap's options for ours."""
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = threads
    options.use_gpu = False
    options.max_image_size = config.max_image_size
    options.sift.max_num_features = config.max_num_features
    options.sift.upright = config.upright
    config.colmap.set_on("feature_extraction", options)
    config.colmap.set_on("sift_extraction", options.sift)
    return options
