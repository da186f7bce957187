"""The sequences of nested camera models of COLMAP, and the parameter blocks that can be freed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pycolmap

Array = npt.NDArray[np.float64]

LADDERS = (
    ("SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"),
    ("SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE", "THIN_PRISM_FISHEYE"),
)
"""Camera models, each of which contains the one before; of equal richness at the same place."""
NEED_PRIORS = frozenset(ladder[-1] for ladder in LADDERS)
"""Camera models with parameters that cancel each other, which adjustments without priors let run away."""
PRINCIPAL_POINT = "principal_point"
_TOGETHER = " and "

# Standard deviations of what lenses and sensors do, before any image is looked at. Focal lengths come from
# bundle adjustment anyway and need none.
_SIGMA_CENTRE = 0.01  # of the longer side
_SIGMA_CROPPED = 0.1  # the same where an image was cut out of a larger one
_SIGMAS = {"aspect": 0.003, "p1": 0.002, "p2": 0.002, "sx1": 0.002, "sy1": 0.002}
_SIGMA_CORNER = (0.03, 0.1)
"""Of what a term of radial distortion moves the corners by, relative to their distance from the middle: of
ordinary lenses, of fisheyes."""
_RADIAL = {f"k{i}": 2 * i for i in range(2, 7)}
"""Terms of radial distortion beyond the first, and the power of the distance that each scales with."""
_RATIONAL = {"k4": 2, "k5": 4, "k6": 6}
"""The same of the denominator of FULL_OPENCV."""
_SIGMA_FREE = 1e3


@dataclass(frozen=True, slots=True)
class ParameterBlock:
    """Parameters that are freed together or not at all."""

    name: str
    """The camera model that has them, or `PRINCIPAL_POINT`; see `parts`."""
    columns: tuple[int, ...]
    """Of `Freedom.directions`."""


def together(blocks: Sequence[ParameterBlock]) -> ParameterBlock:
    """Several parameter blocks as one."""
    columns = tuple(column for block in blocks for column in block.columns)
    return ParameterBlock(_TOGETHER.join(block.name for block in blocks), columns)


def parts(name: str) -> tuple[str, ...]:
    """Names of the single blocks of which a block of this name consists."""
    return tuple(name.split(_TOGETHER))


@dataclass(frozen=True, slots=True, eq=False)
class Freedom:
    """A camera, and the parameters that could be freed.

    Attributes:
        camera: of the richest model, projecting as the given one.
        names: of the directions.
        directions: (P, D) change of the P parameters of `camera` by a unit step in each direction.
        prior: (D,) standard deviation of each direction.
        base: directions that bundle adjustment frees anyway.
        blocks: in the order in which they are tried.
    """

    camera: pycolmap.Camera
    names: tuple[str, ...]
    directions: Array
    prior: Array
    base: tuple[int, ...]
    blocks: tuple[ParameterBlock, ...]

    @property
    def focal(self) -> tuple[int, ...]:
        """Directions in which a focal length changes as such, px."""
        return tuple(i for i, name in enumerate(self.names) if name in ("f", "fx", "fy"))

    @property
    def offset(self) -> Array:
        """(D,) how far the camera is from the mean of lenses: its principal point from the centre, px."""
        camera = self.camera
        off = {
            "cx": camera.principal_point_x - camera.width / 2,
            "cy": camera.principal_point_y - camera.height / 2,
        }
        return np.array([off.get(name, 0.0) for name in self.names])

    def moved(self, step: Array) -> pycolmap.Camera:
        """The camera after a step (D,) in the directions."""
        camera = pycolmap.Camera(self.camera.todict())
        camera.params = (np.asarray(self.camera.params) + self.directions @ step).tolist()
        return camera

    def with_directions(self, names: Sequence[str], directions: Array, prior: Array) -> Freedom:
        """The freedom with further directions (P, d), of these standard deviations (d,)."""
        return replace(
            self,
            names=(*self.names, *names),
            directions=np.hstack((self.directions, directions)),
            prior=np.concatenate((self.prior, prior)),
        )


def freedom(
    camera: pycolmap.Camera, options: pycolmap.BundleAdjustmentOptions, *, richest: str, principal_point: bool
) -> Freedom:
    """The parameters of a camera that could be freed.

    Args:
        camera: of any model; only those of `LADDERS` can get another one.
        options: of the adjustment; whether focal length and distortion are free.
        richest: last model of its ladder that is tried, or the one at the same place of another ladder.
        principal_point: whether it is a block, after further radial distortion and before fx != fy and
            tangential distortion, with which it correlates.
    """
    models = _models(camera, options, richest)
    wide = as_model(camera, models[-1]) if models else pycolmap.Camera(camera.todict())
    columns = _columns(camera, wide, options)
    names = tuple(columns)
    at = {name: i for i, name in enumerate(names)}
    blocks = [
        ParameterBlock(model, tuple(at[name] for name in _new_parameters(poorer, model) if name in at))
        for poorer, model in pairwise(models)
    ]
    if principal_point:
        has_aspect = ["aspect" in _new_parameters(*both) for both in pairwise(models)]
        place = has_aspect.index(True) if any(has_aspect) else len(blocks)
        blocks.insert(place, ParameterBlock(PRINCIPAL_POINT, (at["cx"], at["cy"])))
    selectable = {column for block in blocks for column in block.columns}
    return Freedom(
        camera=wide,
        names=names,
        directions=np.stack(list(columns.values()), axis=1),
        prior=np.array([_sigma(name, wide) for name in names]),
        base=tuple(i for i, name in enumerate(names) if i not in selectable and name not in ("cx", "cy")),
        blocks=tuple(blocks),
    )


def parameter_names(camera: pycolmap.Camera) -> tuple[str, ...]:
    """Of the camera's parameters, as COLMAP names and orders them."""
    return tuple(name.strip() for name in camera.params_info.split(","))


def own_parameters(camera: pycolmap.Camera) -> Freedom:
    """The parameters of a camera as the directions that could be freed."""
    names = parameter_names(camera)
    sigma = np.sqrt(np.diagonal(prior_of(camera)[1]))
    return Freedom(camera, names, np.eye(len(names)), sigma, tuple(range(len(names))), ())


def as_model(camera: pycolmap.Camera, model: str) -> pycolmap.Camera:
    """The camera as a model of its ladder that contains its own, projecting as before."""
    wider = pycolmap.Camera(camera.todict())
    fx, fy = camera.focal_length_x, camera.focal_length_y
    values = dict(zip(_parameters(camera.model_name), camera.params, strict=True))
    values |= {"f": (fx + fy) / 2, "fx": fx, "fy": fy}
    wider.model = getattr(pycolmap.CameraModelId, model)
    wider.params = [values.get(name, 0.0) for name in _parameters(model)]
    return wider


def with_focal_length(camera: pycolmap.Camera, focal_px: float) -> pycolmap.Camera:
    """A copy with another mean focal length, px; fy / fx stays. A spherical camera has none."""
    changed, params = pycolmap.Camera(camera.todict()), np.array(camera.params)
    if focal := list(camera.focal_length_idxs()):
        params[focal] *= focal_px / camera.mean_focal_length()
    changed.params = params.tolist()
    return changed


def prior_of(
    camera: pycolmap.Camera, *, is_cropped: bool = False, sigma_focal: float | None = None
) -> tuple[Array, Array]:
    """Mean (P,) and covariance (P, P) of a camera's parameters, as real lenses have them; or crops.

    The focal length is free, or has the relative standard deviation `sigma_focal` from its present value.
    """
    names, mean, size = _parameters(camera.model_name), np.array(camera.params), camera.mean_focal_length()
    covariance = np.diag([_sigma(name, camera) ** 2 for name in names])
    for i, name in enumerate(names):
        mean[i] *= name not in _SIGMAS and name not in _RADIAL
    centre = list(camera.principal_point_idxs())
    mean[centre] = camera.width / 2, camera.height / 2
    covariance[centre, centre] = sigma_of_principal_point(camera, is_cropped=is_cropped) ** 2
    focal = list(camera.focal_length_idxs())
    mean[focal] = size
    covariance[np.ix_(focal, focal)] = ((sigma_focal or _SIGMA_FREE) * size) ** 2
    if len(focal) == 2:
        aspect = float(np.subtract(*np.array(camera.params)[focal])) / size
        sigma = heavy_tailed(np.array([aspect]), np.array([_SIGMAS["aspect"]]))[0]
        covariance[np.ix_(focal, focal)] += (sigma * size / 2) ** 2 * np.array([[1, -1], [-1, 1]])
    return mean, covariance


def effects_by_parameter(camera: pycolmap.Camera, effects: Mapping[str, float]) -> Array:
    """(P,) design effects of a camera's parameters from those of freed directions; of other parameters 1."""
    names = _parameters(camera.model_name)
    return np.array([effects.get("aspect" if name in ("fx", "fy") else name, 1.0) for name in names])


def heavy_tailed(values: Array, sigmas: Array) -> Array:
    """Standard deviations (d,) of the normal priors that have the slope of Cauchy's at the present values.

    Pixels are square, or images were stretched by anything (iteratively reweighted least squares; Holland
    and Welsch 1977).
    """
    return np.hypot(values, sigmas)


def principal_point(camera: pycolmap.Camera) -> Array:
    """(2,) px."""
    return np.array([camera.principal_point_x, camera.principal_point_y])


def sigma_of_principal_point(camera: pycolmap.Camera, *, is_cropped: bool) -> float:
    """Prior standard deviation of its distance from the middle in x and in y, px."""
    return (_SIGMA_CROPPED if is_cropped else _SIGMA_CENTRE) * max(camera.width, camera.height)


def a_sigma_away(
    camera: pycolmap.Camera, sigma_focal: float
) -> list[tuple[pycolmap.Camera, pycolmap.Camera]]:
    """Cameras that the intrinsics of a camera may as well be, two for each parameter that nobody measured.

    Of focal length, principal point and first radial distortion, each moved by its standard deviation, up and
    down. None for a spherical camera, which has no focal length.

    Args:
        camera: spherical, a pinhole, or of a model of `LADDERS`.
        sigma_focal: standard deviation of the focal length, relative to it.
    """
    if not camera.focal_length_idxs():
        return []
    distorts = bool(camera.extra_params_idxs())
    start = camera if distorts else as_model(camera, "SIMPLE_RADIAL")
    centre = sigma_of_principal_point(camera, is_cropped=False)
    steps = {tuple(start.focal_length_idxs()): sigma_focal * camera.mean_focal_length()}
    steps |= {(i,): centre for i in start.principal_point_idxs()}
    steps[start.extra_params_idxs()[0],] = sigma_of_distortion(start)

    def moved(where: tuple[int, ...], step: float) -> pycolmap.Camera:
        params = np.array(start.params)
        params[list(where)] += step
        return pycolmap.Camera(start.todict() | {"params": params})

    return [(moved(where, step), moved(where, -step)) for where, step in steps.items()]


def sigma_of_distortion(camera: pycolmap.Camera) -> float:
    """Standard deviation of the first parameter of radial distortion, of real lenses."""
    return _sigma_of_radial(camera, 2)


def ladder_of(model: str) -> tuple[str, ...]:
    """The ladder that a camera model is of; empty where it is of none."""
    return next((ladder for ladder in LADDERS if model in ladder), ())


def match_camera_models(cache: pycolmap.DatabaseCache, model: pycolmap.Reconstruction) -> None:
    """Give cameras of the cache and of the model the richer of both camera models, in place.

    A finished model may have richer cameras than its database, and COLMAP refuses to go on with such a one.
    """
    for camera_id, camera in model.cameras.items():
        if camera_id not in cache.cameras or (cached := cache.camera(camera_id)).model == camera.model:
            continue
        ladder = ladder_of(camera.model_name)
        if cached.model_name in ladder:
            if ladder.index(cached.model_name) < ladder.index(camera.model_name):
                poorer, source = cached, camera
            else:
                poorer, source = camera, as_model(camera, cached.model_name)
            poorer.model, poorer.params = source.model, list(source.params)


def _models(
    camera: pycolmap.Camera, options: pycolmap.BundleAdjustmentOptions, richest: str
) -> tuple[str, ...]:
    """The camera's model and those that it may be given."""
    ladder = ladder_of(camera.model_name)
    if not ladder or not options.refine_extra_params:
        return ()
    return ladder[ladder.index(camera.model_name) : ladder_of(richest).index(richest) + 1]


@cache
def _parameters(model: str) -> tuple[str, ...]:
    """Names of the parameters of a model, as COLMAP has them, but with k1 for its first distortion."""
    camera = pycolmap.Camera.create_from_model_name(1, model, 1.0, 1, 1)
    names = parameter_names(camera)
    from_zero = "k0" in names
    counted = [f"k{int(name[1:]) + 1}" if from_zero and name[0] == "k" else name for name in names]
    return tuple("k1" if name == "k" else name for name in counted)


def _new_parameters(poorer: str, model: str) -> list[str]:
    """What a model has beyond a poorer one."""
    new = [name for name in _parameters(model) if name not in _parameters(poorer)]
    return ["aspect" if name == "fx" else name for name in new if name != "fy"]


def _columns(
    camera: pycolmap.Camera, wide: pycolmap.Camera, options: pycolmap.BundleAdjustmentOptions
) -> dict[str, Array]:
    unit = np.eye(len(wide.params))
    names = _parameters(wide.model_name)
    found = {}
    focal = [unit[i] for i in wide.focal_length_idxs()]
    if options.refine_focal_length:
        if len(focal) == 2 and len(camera.focal_length_idxs()) == 1:
            found["f"] = focal[0] + focal[1]
            found["aspect"] = wide.mean_focal_length() / 2 * (focal[0] - focal[1])
        else:
            found |= {names[i]: unit[i] for i in wide.focal_length_idxs()}
    found |= dict(zip(("cx", "cy"), (unit[i] for i in wide.principal_point_idxs()), strict=True))
    if options.refine_extra_params:
        found |= {names[i]: unit[i] for i in wide.extra_params_idxs()}
    return found


def _sigma(name: str, camera: pycolmap.Camera) -> float:
    if name in ("cx", "cy"):
        return sigma_of_principal_point(camera, is_cropped=False)
    if name in _RADIAL:
        powers = _RADIAL | _RATIONAL if camera.model_name == "FULL_OPENCV" else _RADIAL
        return _sigma_of_radial(camera, powers[name])
    return _SIGMAS.get(name, _SIGMA_FREE)


def _sigma_of_radial(camera: pycolmap.Camera, power: int) -> float:
    """Of a term of radial distortion that scales with this power of the distance from the middle."""
    corner = np.hypot(camera.width, camera.height) / 2 / camera.mean_focal_length()
    return float(_SIGMA_CORNER[camera.is_perspective_fisheye()] / corner**power)
