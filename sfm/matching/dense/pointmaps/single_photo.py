"""The camera and the depth of one photo alone: what the network sees of it beside itself."""

from __future__ import annotations

import numpy as np
import pycolmap
import torch

from sfm.errors import ReconstructionError
from sfm.global_alignment.sparse.dense import DenseView
from sfm.mapping.scene.pose_source import PosedGroup, PosedImage
from sfm.mast3r.network.predictor import PairPredictor
from sfm.mast3r.values import ViewDepth
from sfm.types import CameraSpec, Photo

from ..depth.aligned_depth import AlignedDepthFiles, DepthOrigin
from ..depth.depth_maps import DepthMaps
from ..inference.inference import NOT_FINITE
from ..inference.photo_map import PhotoMap
from ..inference.photos import EncodedPhotos
from .correspondences import network_intrinsics, plausible_focal
from .posed_photos import posed_image


def posed_alone(
    predictor: PairPredictor,
    photos: EncodedPhotos,
    photo: Photo,
    camera: CameraSpec,
    kept: AlignedDepthFiles,
    origin: DepthOrigin,
) -> PosedGroup:
    """One photo in the frame of its upright camera, with depth of every pixel, which is kept for exports.

    The focal length is that of the pointmap, or the user's, whose intrinsics are fixed.

    Raises:
        ReconstructionError: the network's answer is not finite, or the photo cannot be read.
    """
    encoded = photos.find(photo.name)
    if isinstance(encoded, str):
        raise ReconstructionError(f"no depth of {photo.name}: {encoded}")
    with torch.inference_mode():
        points, confidence = predictor.decode([encoded], [encoded]).points(1)
    xyz, certain = (tensor[0].float().cpu().numpy() for tensor in (points, confidence))
    if not (np.isfinite(xyz).all() and np.isfinite(certain).all()):
        raise ReconstructionError(f"no depth of {photo.name}: {NOT_FINITE}")
    place = photos.maps[photo.name]
    height, width = place.size
    focal, centre = plausible_focal(xyz), (width / 2, height / 2)
    if camera.fixed:
        focal, centre = network_intrinsics(camera, place)
    depth = np.where(xyz[..., 2] > 0, xyz[..., 2], np.nan).astype(np.float32)
    view = DenseView(
        depth.astype(np.float64), certain.astype(np.float64), focal, centre, np.eye(3), np.zeros(3)
    )
    return PosedGroup(
        {photo.name: _posed(focal, centre, place)},
        depth=DepthMaps(
            {photo.name: ViewDepth(depth, certain, 1, focal)}, {photo.name: place}, predictor.is_metric
        ),
        kept=kept.put({photo.sha256: view}, origin),
    )


def _posed(focal: float, centre: tuple[float, float], place: PhotoMap) -> PosedImage:
    found = posed_image(pycolmap.Rigid3d(), focal, centre, place)
    if found is not None:
        return found
    # No rotation undoes a mirrored file: its scene is mirrored, as it is with any other matcher.
    along = focal * place.photo_px
    x, y = place.to_photo(np.array([centre]))[0]
    return PosedImage(pycolmap.Rigid3d(), (along, along), (float(x), float(y)))
