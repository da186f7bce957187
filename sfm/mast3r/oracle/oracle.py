"""A double of the network that answers from the ground truth of a rendered scene.

It lets everything after inference be tested end to end without weights. Descriptors are random Fourier
features (Rahimi and Recht, NIPS 2007) of the world point behind a pixel, at several wavelengths, so that the
nearest descriptor belongs to the nearest point; points and confidences follow depth and visibility. What the
network does not know exactly is made inexact by `OracleOptions`; everything is reproducible, pair by pair.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sfm.errors import InputError

from ..network.image_input import PATCH, pixel_map
from ..network.predictor import EncodedPhoto, NetworkPhoto
from ..values import WindowMap
from .backdrop import backdrop_distance
from .oracle_scene import Float32, Float64, TrueView, load_scene, pixel_angle, typical_footprint

_TOKEN_DIM = 64
_WAVELENGTHS_PX = (8.0, 32.0, 128.0, 512.0)
"""Of the descriptors' features, in typical network pixels, three directions each: the shortest tells
neighbouring pixels apart, the others the places where it repeats."""
_TOKEN_REACH_PX = 32.0
"""Distance, in typical network pixels, at which tokens become unlike each other."""
_SEEN_CONFIDENCE = (3.0, 18.0)
_UNSEEN_CONFIDENCE = 0.15
_NO_POINT_CONFIDENCE = 0.12
_REMEMBERED = 64
_NUM_LOCAL = 300


class Shown(NamedTuple):
    """What a network image shows: a photo, or a window of it."""

    name: str
    window: WindowMap | None = None

    @property
    def label(self) -> str:
        """Tells the windows of a photo apart, so that each has noise of its own."""
        return self.name if self.window is None else f"{self.name} {self.window}"


class _Recent:
    """The last results of a function of what network images show."""

    def __init__(self, compute: Callable[..., Float64]) -> None:
        self._compute = compute
        self._results: OrderedDict[tuple[Shown, ...], Float64] = OrderedDict()

    def __call__(self, *shown: Shown) -> Float64:
        if shown not in self._results:
            self._results[shown] = self._compute(*shown)
            if len(self._results) > _REMEMBERED:
                self._results.popitem(last=False)
        self._results.move_to_end(shown)
        return self._results[shown]


@dataclass(frozen=True, slots=True)
class OracleOptions:
    """How far the oracle is from the truth."""

    noise_px: float = 0.2
    """Standard deviation by which a descriptor's point is displaced, network pixels of its photo."""
    wrong_matches: float = 0.0
    """Share of the patches of each view that exchange their descriptors, for confident wrong matches."""
    confidence_noise: float = 0.2
    """Standard deviation of the logarithm of the confidences."""
    depth_noise: float = 0.01
    """Standard deviation of the depth of points, relative; it varies slowly over the image."""
    scale_noise: float = 0.02
    """Standard deviation of the logarithm of the scale of each direction of a pair."""
    sky_distance: float | None = None
    """Of pixels that show nothing, in depths of the farthest things that their photo shows; None puts all of
    them very far away, straight ahead."""
    sky_noise: float = 0.3
    """Standard deviation of the logarithm of that distance; it varies slowly over the image."""
    seed: int = 0

    def noisier(self, times: float) -> OracleOptions:
        """The same with all standard deviations but that of sky times a factor."""
        return replace(
            self,
            noise_px=times * self.noise_px,
            confidence_noise=times * self.confidence_noise,
            depth_noise=times * self.depth_noise,
            scale_noise=times * self.scale_noise,
        )


@dataclass(slots=True)
class OraclePredictor:
    """The network's interface over one rendered scene.

    Args:
        folder: what `tools/render_scene.py OUT --depth` wrote.
        size: as the photos are loaded with (`network_photo`).
        square_ok: as the photos are loaded with.
        options: noise.
        device: where results are put.

    Raises:
        InputError: the folder's content cannot be used; also later, for a photo that is not in it or has no
            depth, or that has another size than there.
    """

    folder: Path
    size: int = 512
    square_ok: bool = False
    options: OracleOptions = field(default_factory=OracleOptions)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    key: str = field(init=False)
    _views: dict[str, TrueView] = field(init=False, repr=False)
    _footprint: float = field(init=False)
    _centre: Float64 = field(init=False, repr=False)
    _points: _Recent = field(init=False, repr=False)
    _qualities: _Recent = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._views = load_scene(self.folder)
        sample = list(self._views.values())[:: max(1, len(self._views) // 16)]
        self._footprint = typical_footprint(sample, {view.name: self.grid(view.name) for view in sample})
        self._centre = np.mean([-v.rotation.T @ v.translation for v in self._views.values()], axis=0)
        self._points = _Recent(lambda shown: self.view(shown.name).world_points(self.grid(*shown)))
        self._qualities = _Recent(self._compare)
        self.key = self._identity()

    @property
    def token_dtype(self) -> torch.dtype:
        """Tokens are not decoded; any will do."""
        return torch.bfloat16

    @property
    def has_descriptors(self) -> bool:
        """Features of world points."""
        return True

    @property
    def is_metric(self) -> bool:
        """Scenes are rendered in metres."""
        return True

    @property
    def retrieval_size(self) -> int | None:
        """Images of the scene's own size."""
        return None

    @property
    def token_dim(self) -> int:
        """Channels of a token."""
        return _TOKEN_DIM

    def encode(self, photos: Sequence[NetworkPhoto]) -> torch.Tensor:
        """Tokens (B, N, 64) float32: features of the point at each patch's centre, weak where nothing is."""
        return torch.from_numpy(np.stack([self._tokens(p) for p in photos])).to(self.device)

    def decode(self, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]) -> OraclePairs:
        """One direction of B pairs; the tokens are not looked at, names and sizes are enough."""
        for photo in (*first, *second):
            self._check_size(photo)
        shown = zip(map(_shown, first), map(_shown, second), strict=True)
        return OraclePairs(self, tuple(shown))

    def retrieval_features(self, photo: EncodedPhoto, count: int | None = _NUM_LOCAL) -> NDArray[np.float32]:
        """The `count` strongest tokens (n, 64), strongest first."""
        tokens = photo.tokens.detach().to("cpu", torch.float32).numpy()
        order = np.argsort(-np.linalg.norm(tokens, axis=1), kind="stable")[:count]
        return np.ascontiguousarray(tokens[order])

    def grid(self, name: str, window: WindowMap | None = None) -> WindowMap:
        """Where the network's pixels lie in a photo."""
        if window is not None:
            return window
        return pixel_map(self.view(name).photo_size, name, size=self.size, square_ok=self.square_ok)

    def view(self, name: str) -> TrueView:
        """The truth of a photo."""
        if name not in self._views:
            raise InputError(
                f"{self.folder / 'gt.json'} has no photo {name!r}",
                hint="internal.mast3r.oracle must be the rendered scene whose photos are reconstructed",
            )
        return self._views[name]

    def points(self, name: str, window: WindowMap | None = None) -> Float64:
        """World points (H, W, 3) of a photo's network pixels, NaN where nothing is."""
        return self._points(Shown(name, window))

    def quality(self, own: Shown, other: Shown) -> Float64:
        """How well the other photo shows each point, (H, W): 1 from the same distance, 0 if not at all."""
        return self._qualities(own, other)

    def pixel_sizes(self, shown: Shown, points: Float64) -> Float64:
        """What the photo's network pixels cover at world points (N, 3), metres."""
        view = self.view(shown.name)
        depth = points @ view.rotation[2] + view.translation[2]
        return np.asarray(depth * pixel_angle(view, self.grid(*shown)), np.float64)

    def random(self, *names: str) -> np.random.Generator:
        """Random numbers that belong to these names alone."""
        return np.random.default_rng([self.options.seed, *(zlib.crc32(name.encode()) for name in names)])

    def features(self, points: Float64, component: str) -> Float32:
        """Descriptors (N, 24) of unit length of world points (N, 3)."""
        rng = self.random("wavelengths", component)
        axes = np.concatenate([np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in _WAVELENGTHS_PX])
        waves = axes * (2 * np.pi / np.repeat(np.array(_WAVELENGTHS_PX) * self._footprint, 3))[:, None]
        phase = ((points - self._centre) @ waves.T + rng.uniform(0, 2 * np.pi, len(waves))).astype(np.float32)
        waved = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        return np.asarray(waved / np.sqrt(len(waves)), np.float32)

    def sky(self, own: Shown, first: Shown) -> Float64:
        """From the photo's centre to where its pixels (H, W) are put if they show nothing, world axes, m.

        In its own frame a photo has one sky in all pairs; in the frame of each other photo another.
        """
        view, grid = self.view(own.name), self.grid(*own)
        if self.options.sky_distance is None:
            return np.broadcast_to(view.rotation[2] * 1e4 * self.footprint, (*grid.size, 3))
        distance = backdrop_distance(view, self.footprint / pixel_angle(view, grid))
        noise = _slowly_varying(grid.size, self.random("sky", own.label, first.label))
        reach = self.options.sky_distance * distance * np.exp(self.options.sky_noise * noise)
        return np.asarray(view.directions(grid) * reach[..., None], np.float64)

    @property
    def footprint(self) -> float:
        """Size of what a network pixel typically covers, metres."""
        return self._footprint

    def _tokens(self, photo: NetworkPhoto) -> Float32:
        self._check_size(photo)
        shown, name = _shown(photo), photo.name
        centres = self.points(*shown)[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].reshape(-1, 3)
        rng = self.random("tokens", self.view(name).component)
        waves = rng.normal(size=(_TOKEN_DIM // 2, 3)) / (_TOKEN_REACH_PX * self._footprint)
        phase = (centres - self._centre) @ waves.T + rng.uniform(0, 2 * np.pi, len(waves))
        tokens = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
        noise = self.random("token noise", shown.label).normal(size=tokens.shape)
        empty = np.isnan(centres[:, 0])
        return np.where(empty[:, None], 0.1 * noise, tokens + 0.05 * noise).astype(np.float32)

    def _check_size(self, photo: NetworkPhoto | EncodedPhoto) -> None:
        name, size = photo.name, photo.size
        expected = self.grid(*_shown(photo)).size
        if size != expected:
            raise InputError(
                f"{name}: the network's image is {size[1]} x {size[0]} px, but the oracle's photo "
                f"of that name gives {expected[1]} x {expected[0]} px",
                hint="internal.mast3r.oracle must be the rendered scene whose photos are reconstructed",
            )

    def _compare(self, own: Shown, other: Shown) -> Float64:
        here, there = self.view(own.name), self.view(other.name)
        shape = self.grid(*own).size
        if here.component != there.component:
            return np.zeros(shape)
        points = self.points(*own).reshape(-1, 3)
        seen = there.sees(points, self.grid(*other))
        near, far = (self.pixel_sizes(shown, points[seen]) for shown in (own, other))
        quality = np.zeros(len(points))
        quality[seen] = np.minimum(near, far) / np.maximum(near, far)
        return quality.reshape(shape)

    def _identity(self) -> str:
        """Changes with poses, cameras, depth files, size and options."""
        digest = hashlib.sha256((self.folder / "gt.json").read_bytes())
        for view in self._views.values():
            if view.depth_file.is_file():
                status = view.depth_file.stat()
                digest.update(f"{view.name} {status.st_size} {status.st_mtime_ns};".encode())
        digest.update(json.dumps([self.size, self.square_ok, asdict(self.options)]).encode())
        return f"oracle-{digest.hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class OraclePairs:
    """One direction of a batch of pairs."""

    oracle: OraclePredictor
    shown: tuple[tuple[Shown, Shown], ...]
    """First and second photo of each pair."""

    @property
    def has_descriptors(self) -> bool:
        """Features of world points."""
        return True

    def descriptors(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Descriptors (B, H, W, 24) and their confidence (B, H, W): several to about 20 where the other photo
        of the pair shows the same point, some tenths elsewhere.
        """
        return self._stacked([self._descriptors(view, *pair) for pair in self._chosen(rows)])

    def points(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Points (B, H, W, 3) in the camera frame of view 1, metres, and their confidence (B, H, W) > 1;
        somewhere behind what the photo shows, with confidence near 1, where there is only sky.
        """
        return self._stacked([self._camera_points(view, *pair) for pair in self._chosen(rows)])

    def _chosen(self, rows: Sequence[int] | None) -> list[tuple[Shown, Shown]]:
        return [self.shown[row] for row in (range(len(self.shown)) if rows is None else rows)]

    def _stacked(self, maps: Sequence[tuple[Float32, Float32]]) -> tuple[torch.Tensor, torch.Tensor]:
        values, confidence = (np.stack(part) for part in zip(*maps, strict=True))
        device = self.oracle.device
        return torch.from_numpy(values).to(device), torch.from_numpy(confidence).to(device)

    def _descriptors(self, view: int, first: Shown, second: Shown) -> tuple[Float32, Float32]:
        oracle = self.oracle
        own, other = (first, second) if view == 1 else (second, first)
        rng = oracle.random("descriptors", first.label, second.label, str(view))
        points, quality = oracle.points(*own), oracle.quality(own, other)
        shape = quality.shape
        if oracle.options.wrong_matches > 0:
            source = _exchanged_patches(shape, oracle.options.wrong_matches, rng)
            points, quality = points.reshape(-1, 3)[source], quality.reshape(-1)[source]
        points, quality = points.reshape(-1, 3), quality.reshape(-1)
        empty = np.isnan(points[:, 0])
        reach = oracle.options.noise_px * oracle.pixel_sizes(own, points)
        displaced = points + reach[:, None] * rng.standard_normal(points.shape, np.float32)
        descriptors = oracle.features(
            np.where(empty[:, None], 0.0, displaced), oracle.view(own.name).component
        )
        noise = rng.normal(size=(int(empty.sum()), descriptors.shape[1]))
        descriptors[empty] = noise / np.linalg.norm(noise, axis=1, keepdims=True)
        low, high = _SEEN_CONFIDENCE
        confidence = np.where(quality > 0, low + (high - low) * quality, _UNSEEN_CONFIDENCE)
        confidence[empty] = _NO_POINT_CONFIDENCE
        confidence *= np.exp(rng.normal(0, oracle.options.confidence_noise, confidence.shape))
        return descriptors.reshape(*shape, -1), confidence.reshape(shape).astype(np.float32)

    def _camera_points(self, view: int, first: Shown, second: Shown) -> tuple[Float32, Float32]:
        oracle, options = self.oracle, self.oracle.options
        own, other = (first, second) if view == 1 else (second, first)
        taker, frame = oracle.view(own.name), oracle.view(first.name)
        rng = oracle.random("points", first.label, second.label, str(view))
        scale = np.exp(options.scale_noise * oracle.random("scale", first.label, second.label).normal())
        points, quality = oracle.points(*own), oracle.quality(own, other)
        empty = np.isnan(points[..., 0])
        centre = -taker.rotation.T @ taker.translation
        rays = np.where(empty[..., None], oracle.sky(own, first), points - centre)
        wrong = options.depth_noise * _slowly_varying(quality.shape, rng)
        # a view of another place than the frame's has no place in it; it is put at the frame's own
        local = (
            (centre + rays * (1 + wrong)[..., None]) @ frame.rotation.T + frame.translation
            if taker.component == frame.component
            else rays @ taker.rotation.T
        )
        extra = np.where(quality > 0, 2 + 8 * quality, 0.5)
        extra[empty] = 0.02
        extra *= np.exp(rng.normal(0, options.confidence_noise, extra.shape))
        return (scale * local).astype(np.float32), (1 + extra).astype(np.float32)


def _shown(photo: NetworkPhoto | EncodedPhoto) -> Shown:
    return Shown(photo.name, photo.window)


def _exchanged_patches(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which pixel each pixel (H * W,) takes its descriptor from: some patches have changed places."""
    rows, columns = shape
    index = np.arange(rows * columns).reshape(rows // PATCH, PATCH, columns // PATCH, PATCH)
    patches = index.transpose(0, 2, 1, 3).reshape(-1, PATCH, PATCH)
    chosen = rng.permutation(len(patches))[: round(share * len(patches))]
    patches[chosen] = patches[np.roll(chosen, 1)]
    back = patches.reshape(rows // PATCH, columns // PATCH, PATCH, PATCH).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(back).reshape(-1)


def _slowly_varying(shape: tuple[int, ...], rng: np.random.Generator) -> Float64:
    """Smooth noise (H, W) of about unit variance, with a tenth of it from pixel to pixel."""
    coarse = Image.fromarray(rng.normal(size=(5, 5)).astype(np.float32))
    smooth = np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float64)
    return smooth + 0.1 * rng.normal(size=shape)
