"""A small 3D Gaussian model trained on most photos of a model, and its PSNR on the others; CUDA and gsplat.

    pip install '.[gaussians]'    # gsplat, which compiles its kernels at first use: CUDA's toolkit, too

Kerbl et al. 2023, by gsplat's rasteriser and its default strategy of splitting and pruning. All cameras are
those of one model of all photos, as novel-view benchmarks have it: wrong poses show as a lower PSNR. Photos
are undistorted by COLMAP first. Colours do not depend on the direction of view: poses are compared, not
renderers.
"""

import importlib.util
import math
import shutil
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import torch
from PIL import Image
from scipy.spatial import cKDTree

STEPS = 7000
_MAX_SIDE = 1000
_RATES = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "colors": 2.5e-3}
_SSIM_WEIGHT = 0.2
_SSIM_WINDOW = 11
_START_OPACITY = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """A photo with its pinhole camera."""

    name: str
    pixels: torch.Tensor
    """(H, W, 3) float32 in 0 to 1."""
    camera_from_world: torch.Tensor
    """(4, 4) float32, x right, y down, z forward, in the normalised world."""
    intrinsics: torch.Tensor
    """(3, 3) float32; gsplat has pixel centres at 0.5, as COLMAP has."""


@dataclass(frozen=True, slots=True)
class Views:
    """A model as it is trained on: cameras centred, at distance 1 on average."""

    views: tuple[View, ...]
    points: torch.Tensor
    """(N, 3) float32."""
    colours: torch.Tensor
    """(N, 3) float32 in 0 to 1."""


def missing() -> str:
    """Why nothing can be trained here; empty where it can."""
    if not torch.cuda.is_available():
        return "no CUDA device"
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed: pip install '.[gaussians]'"
    return ""


def held_out_psnr(
    model: Path,
    photos: Path,
    held: Set[str],
    scratch: Path,
    seed: int,
    *,
    steps: int = STEPS,
    device: str = "cuda",
) -> dict[str, float]:
    """Train on the photos that are not held out; PSNR (dB) of each other photo that the model holds.

    Held-out photos that the model lacks are not in it: whoever takes a mean says of how many photos.

    Raises:
        ValueError: the model holds none of the held-out photos, or too few points.
    """
    views = load_views(model, photos, scratch)
    train = [view for view in views.views if view.name not in held]
    test = [view for view in views.views if view.name in held]
    if not test or not train or len(views.points) < 100:
        raise ValueError(f"{len(test)} held-out photos, {len(train)} others, {len(views.points)} points")
    params = _train(views, train, seed, steps, device)
    with torch.no_grad():
        return {
            view.name: psnr(_render(params, view)[0].clamp(0, 1), view.pixels.to(device)) for view in test
        }


def psnr(image: torch.Tensor, wanted: torch.Tensor) -> float:
    """Of two images in 0 to 1, dB."""
    return -10 * math.log10(max(float(torch.mean((image - wanted) ** 2)), 1e-10))


def load_views(model: Path, photos: Path, scratch: Path) -> Views:
    """Undistort and normalise a model; photos as they are named in it."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    options = pycolmap.UndistortCameraOptions()
    options.max_image_size = _MAX_SIDE
    pycolmap.undistort_images(scratch, model, photos, undistort_options=options)
    plain = pycolmap.Reconstruction(scratch / "sparse")
    images = [plain.image(i) for i in sorted(plain.reg_image_ids())]
    centres = np.array([image.projection_center() for image in images])
    middle = centres.mean(axis=0)
    size = float(np.linalg.norm(centres - middle, axis=1).mean()) or 1.0
    views = []
    for image in images:
        pose = image.cam_from_world()
        matrix = np.eye(4)
        matrix[:3, :3] = pose.rotation.matrix()
        matrix[:3, 3] = (pose.rotation.matrix() @ middle + pose.translation) / size
        with Image.open(scratch / "images" / image.name) as opened:
            pixels = np.asarray(opened.convert("RGB"), dtype=np.float32) / 255
        intrinsics = plain.camera(image.camera_id).calibration_matrix()
        views.append(View(image.name, torch.from_numpy(pixels), _float(matrix), _float(intrinsics)))
    points = [plain.point3D(i) for i in sorted(plain.point3D_ids())]
    xyz = (np.array([point.xyz for point in points]).reshape(-1, 3) - middle) / size
    colours = np.array([point.color for point in points]).reshape(-1, 3) / 255
    return Views(tuple(views), _float(xyz), _float(colours))


def initial_parameters(views: Views) -> dict[str, torch.Tensor]:
    """One round Gaussian a point, as wide as its three neighbours are far; colours are sigmoids."""
    distances, _ = cKDTree(views.points.numpy()).query(views.points.numpy(), k=4)
    width = _float(np.sqrt(np.mean(distances[:, 1:] ** 2, axis=1))).clamp_min(1e-5)
    count = len(views.points)
    rotations = torch.zeros(count, 4)
    rotations[:, 0] = 1
    return {
        "means": views.points.clone(),
        "scales": width.log()[:, None].repeat(1, 3),
        "quats": rotations,
        "opacities": torch.full((count,), _START_OPACITY).logit(),
        "colors": views.colours.clamp(0.01, 0.99).logit(),
    }


def _float(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _train(views: Views, train: list[View], seed: int, steps: int, device: str) -> torch.nn.ParameterDict:
    from gsplat import DefaultStrategy

    torch.manual_seed(seed)
    params = torch.nn.ParameterDict(
        {name: torch.nn.Parameter(value.to(device)) for name, value in initial_parameters(views).items()}
    )
    optimisers = {name: torch.optim.Adam([params[name]], lr=rate, eps=1e-15) for name, rate in _RATES.items()}
    decay = torch.optim.lr_scheduler.ExponentialLR(optimisers["means"], gamma=0.01 ** (1 / max(steps, 1)))
    strategy = DefaultStrategy(refine_stop_iter=steps // 2, verbose=False)
    strategy.check_sanity(params, optimisers)
    state = strategy.initialize_state(scene_scale=1.0)
    order = torch.randint(len(train), (steps,), generator=torch.Generator().manual_seed(seed)).tolist()
    for step, index in enumerate(order):
        view = train[index]
        image, info = _render(params, view)
        strategy.step_pre_backward(params, optimisers, state, step, info)
        _loss(image, view.pixels.to(device)).backward()
        for optimiser in optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        decay.step()
        strategy.step_post_backward(params, optimisers, state, step, info, packed=False)
    return params


def _render(params: torch.nn.ParameterDict, view: View) -> tuple[torch.Tensor, dict[str, Any]]:
    """Image (H, W, 3) of a view, and what the strategy wants to know of it."""
    from gsplat import rasterization

    height, width, _ = view.pixels.shape
    device = params["means"].device
    images, _, info = rasterization(
        means=params["means"],
        quats=params["quats"],
        scales=params["scales"].exp(),
        opacities=params["opacities"].sigmoid(),
        colors=params["colors"].sigmoid(),
        viewmats=view.camera_from_world.to(device)[None],
        Ks=view.intrinsics.to(device)[None],
        width=width,
        height=height,
        packed=False,
    )
    return images[0], info


def _loss(image: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The paper's: absolute difference, and structure."""
    absolute = (image - wanted).abs().mean()
    return (1 - _SSIM_WEIGHT) * absolute + _SSIM_WEIGHT * (1 - ssim(image, wanted))


def ssim(image: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean structural similarity of images (H, W, 3) in 0 to 1, over square windows (Wang et al. 2004)."""

    def blurred(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(values, _SSIM_WINDOW, stride=1)

    a, b = (values.permute(2, 0, 1)[None] for values in (image, wanted))
    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    covariance = blurred(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    shared = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return (shared / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean()
