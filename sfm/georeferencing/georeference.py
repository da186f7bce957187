"""Stage: models are brought to where they stand on Earth, or at least upright, as far as that is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.colmap.rigs import metres_per_unit
from sfm.config.schema import GeoreferenceConfig, LossFunction
from sfm.errors import InputError
from sfm.geometry.gravity import is_level, level_of, upright_from_world
from sfm.geometry.wgs84 import Place
from sfm.georeferencing.adjustment import PositionAdjustment, adjust_with_positions
from sfm.georeferencing.alignment import Alignment, align_to_positions
from sfm.georeferencing.priors import PositionPrior, PositionPriors, read_position_priors
from sfm.mapping.cameras.focal_priors import must_hold_given, without_focal
from sfm.mapping.cameras.loss import with_fitting_loss
from sfm.mapping.edits.judge import Judge
from sfm.mapping.scene.options import MapperOptions
from sfm.mapping.scene.scene import Scene
from sfm.types import Rig
from sfm.untrusted.documents import read_json
from sfm.untrusted.numbers import checked_real, checked_reals
from sfm.workspace.events import EventSink

STAGE = "georeference"
GEOREFERENCE_FILE = "georeference.json"
"""Beside the files of a model: where it stands."""


_MIN_COMMON = 2
_PLACE = ("latitude_deg", "longitude_deg", "altitude_m")
_UP_BY_PHOTOS = "; the photos determine which way is up, since the positions lie on a line or nearly so"
_NO_HEIGHTS = (
    "; their heights would tilt the model by more than the photos allow, so that they only determine how "
    "high it lies as a whole"
)


@dataclass(frozen=True, slots=True)
class Differences:
    """Distances between camera centres and their positions, metres."""

    horizontal_median_m: float
    horizontal_p95_m: float
    vertical_median_m: float
    vertical_p95_m: float


@dataclass(frozen=True, slots=True)
class Georeference:
    """Where one model stands."""

    frame: str
    """enu: metres east, north and up of `origin`; positions: that of the user's file, less `offset`; upright:
    its own, +z up; model: its own."""
    why: str
    """What that rests on, or what was missing, in words for the user."""
    origin: Place | None = None
    """WGS84."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Added to the model's coordinates gives those of the user's file; zero unless these are large."""
    num_positions: int = 0
    """Photos of the model with a position."""
    outliers: tuple[str, ...] = ()
    """Photos whose position contradicts the model; they are not used."""
    differences: Differences | None = None
    """Of all photos with a position, outliers included."""
    scale_from: str = ""
    """What makes the unit a metre: positions; else baselines of rigs; else the depth of a network; empty:
    nothing does."""
    scale: float | None = None
    """Metres in one unit that the model had before."""
    scale_sigma: float | None = None
    """Standard deviation of the scale, relative."""
    turn_sigma_deg: float | None = None
    """Standard deviation of the rotation about the axis that is known least."""
    adjustment: PositionAdjustment | None = None
    """The last bundle adjustment, with positions as priors; None where there was none."""

    @property
    def is_metric(self) -> bool:
        """Whether the model's unit is the metre."""
        return bool(self.scale_from)

    @property
    def is_placed(self) -> bool:
        """Whether the model is placed by positions."""
        return self.frame in ("enu", "positions")


@dataclass(frozen=True, slots=True)
class GivenFrame:
    """The frame of a model that was given: those grown from it are left where they are."""

    place: Georeference
    names: frozenset[str]
    """Photos of the given model."""

    @classmethod
    def of(cls, folder: Path | None, names: frozenset[str]) -> GivenFrame:
        """The frame as `georeference.json` in or below `folder` has it; else one of its own."""
        why = "the frame of the given model is kept"
        for path in (
            (folder / GEOREFERENCE_FILE, folder / "sparse" / "0" / GEOREFERENCE_FILE) if folder else ()
        ):
            if path.is_file():
                return cls(replace(_read_place(path), why=why), names)
        return cls(Georeference("model", why), names)

    def holds(self, model: pycolmap.Reconstruction) -> bool:
        """Whether a model grew from the given one."""
        return len(self.names.intersection(_names(model))) >= min(_MIN_COMMON, max(len(self.names), 1))


def _read_place(path: Path) -> Georeference:
    """Frame, origin and offset of a model, without the figures of the run that found them.

    Raises InputError where the file is damaged.
    """
    try:
        stored = read_json(path)
        origin, offset = stored.get("origin"), checked_reals(stored.get("offset") or [0, 0, 0], 3, "offset")
        found = Place(**{key: checked_real(origin[key], key) for key in _PLACE}) if origin else None
        frame = str(stored.get("frame") or "enu").lower()
        scale_from = "positions" if frame in ("enu", "positions") else ""
        return Georeference(frame, "", found, (offset[0], offset[1], offset[2]), scale_from=scale_from)
    except (InputError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged", hint="delete it; the model then has no place on Earth"
        ) from error


@dataclass(frozen=True, slots=True)
class GeoreferencingContext:
    """Inputs of georeferencing other than the models."""

    database: Path
    config: GeoreferenceConfig
    options: MapperOptions
    fixed_cameras: frozenset[int]
    orientations: Mapping[str, int]
    """EXIF orientation by image name."""
    seed: int
    given: GivenFrame | None = None
    """Of models that stand where the user wants them already."""
    rigs: Sequence[Rig] = ()
    """As the user described them."""
    metric_by_depth: frozenset[int] = frozenset()
    """Indices of the models that depth has scaled to metres."""
    loss_function: LossFunction = "evidence"
    """Of the observations in the adjustment."""


def georeference(
    models: Sequence[pycolmap.Reconstruction], context: GeoreferencingContext, events: EventSink
) -> tuple[tuple[pycolmap.Reconstruction, ...], tuple[Georeference, ...]]:
    """The models placed by positions, all about one origin, and the basis of each placement.

    Positions win over any scale that depth has given, where they determine the scale to a tenth; else the
    model keeps its own. Models without such positions are turned upright where photos determine up. Models
    are changed in place, or replaced by adjusted copies. `events` receives a `georeference` event a model.
    """
    config, priors = context.config, None
    if config.mode == "auto":
        priors = read_position_priors(
            context.database,
            sigma_horizontal_m=config.sigma_horizontal_m,
            sigma_vertical_m=config.sigma_vertical_m,
        )
    placed, found = [], []
    for index, model in enumerate(models):
        better, where = _placed(model, priors, context)
        if not where.is_placed and not _is_given(model, context):
            where = _scaled_by_rigs(better, _upright(better, where, context), context)
        if index in context.metric_by_depth:
            where = _beside_depth(where)
        events.emit(STAGE, "georeference", model=index, metric=where.is_metric, **asdict(where))
        placed.append(better)
        found.append(where)
    return tuple(placed), tuple(found)


def _is_given(model: pycolmap.Reconstruction, context: GeoreferencingContext) -> bool:
    return context.given is not None and context.given.holds(model)


def _beside_depth(where: Georeference) -> Georeference:
    """The record of a scale from depth: positions and rigs replace it, and its error is noted."""
    if not where.is_metric:
        return replace(where, scale_from="depth")
    if where.scale is None:
        return where
    return replace(where, why=f"{where.why}; a metre by depth was {where.scale:.3g} m by {where.scale_from}")


def _placed(
    model: pycolmap.Reconstruction, priors: PositionPriors | None, context: GeoreferencingContext
) -> tuple[pycolmap.Reconstruction, Georeference]:
    if context.given is not None and _is_given(model, context):
        return model, context.given.place
    if context.config.mode == "never":
        return model, Georeference("model", "georeference.mode is never")
    if priors is None:
        return model, Georeference("model", "no photo has a position")
    names = [name for name in _names(model) if name in priors.of]
    found = _aligned(model, names, priors, context)
    if isinstance(found, str):
        return model, Georeference("model", found, num_positions=len(names))
    model.transform(found.metric_from_model)
    adjustment = None
    if context.config.adjust != "never" and found.used_heights:
        true = {name: priors.of[name] for name, good in zip(names, found.is_inlier, strict=True) if good}
        model, adjustment = _adjusted(model, true, context)
        if found.used_up and adjustment.accepted:  # about which the priors know nothing
            again = _aligned(model, names, priors, context)
            model.transform(again.metric_from_model if isinstance(again, Alignment) else pycolmap.Sim3d())
    return model, _described(model, names, priors, found, adjustment)


def _adjusted(
    model: pycolmap.Reconstruction, priors: Mapping[str, PositionPrior], context: GeoreferencingContext
) -> tuple[pycolmap.Reconstruction, PositionAdjustment]:
    """The model adjusted with positions, or as it is where that would make it worse."""
    scene, options = Scene.open(context.database), context.options.global_ba
    if must_hold_given(scene, model, context.options):
        options = without_focal(options)
    adjusted, found = adjust_with_positions(
        model,
        priors,
        with_fitting_loss(options, model, context.loss_function),
        fixed_cameras=context.fixed_cameras,
        seed=context.seed,
        only_with_evidence=context.config.adjust == "evidence",
    )
    if adjusted is not model and (why := Judge.of(scene, context.options).why_worse((model,), (adjusted,))):
        return model, replace(found, accepted=False, why=why)
    return adjusted, found


def _aligned(
    model: pycolmap.Reconstruction,
    names: Sequence[str],
    priors: PositionPriors,
    context: GeoreferencingContext,
) -> Alignment | str:
    positions = np.array([priors.of[name].xyz for name in names]).reshape(-1, 3)
    sigmas = np.array([priors.of[name].sigma for name in names]).reshape(-1, 3)
    level = level_of(model, context.orientations)
    return align_to_positions(_centres(model, names), positions, sigmas, seed=context.seed, level=level)


def _described(
    model: pycolmap.Reconstruction,
    names: Sequence[str],
    priors: PositionPriors,
    found: Alignment,
    adjustment: PositionAdjustment | None,
) -> Georeference:
    away = _centres(model, names) - np.array([priors.of[name].xyz for name in names])
    outliers = tuple(name for name, good in zip(names, found.is_inlier, strict=True) if not good)
    return Georeference(
        frame="enu" if priors.origin else "positions",
        why=f"{len(names) - len(outliers)} of {len(names)} positions agree"
        + (_UP_BY_PHOTOS if found.used_up and found.used_heights else "")
        + ("" if found.used_heights else _NO_HEIGHTS),
        origin=priors.origin,
        offset=priors.offset,
        num_positions=len(names),
        outliers=outliers,
        differences=_differences(away),
        scale_from="positions",
        scale=float(f"{found.metric_from_model.scale:.6g}"),
        scale_sigma=float(f"{found.scale_sigma:.2g}"),
        turn_sigma_deg=float(f"{found.turn_sigma_deg:.2g}"),
        adjustment=adjustment,
    )


def _upright(
    model: pycolmap.Reconstruction, where: Georeference, context: GeoreferencingContext
) -> Georeference:
    if context.config.gravity == "never" or not is_level(model, context.orientations):
        return where
    turn = pycolmap.Rotation3d(upright_from_world(model, context.orientations))
    model.transform(pycolmap.Sim3d(1.0, turn, np.zeros(3)))
    return replace(where, frame="upright", why=f"{where.why}; turned upright by its photos")


def _scaled_by_rigs(
    model: pycolmap.Reconstruction, where: Georeference, context: GeoreferencingContext
) -> Georeference:
    """The model scaled in place so that the cameras of rigs have the distances that the user gave."""
    scale = metres_per_unit(context.rigs, model)
    if scale is None:
        return where
    model.transform(pycolmap.Sim3d(scale, pycolmap.Rotation3d(), np.zeros(3)))
    why = f"{where.why}; metres by the distances between the cameras of rigs"
    return replace(where, why=why, scale_from="rigs", scale=float(f"{scale:.6g}"))


def _differences(away: NDArray[np.float64]) -> Differences:
    horizontal, vertical = np.hypot(away[:, 0], away[:, 1]), np.abs(away[:, 2])
    figures = [round(float(np.quantile(d, q)), 3) for d in (horizontal, vertical) for q in (0.5, 0.95)]
    return Differences(*figures)


def _names(model: pycolmap.Reconstruction) -> list[str]:
    return sorted(model.image(image_id).name for image_id in model.reg_image_ids())


def _centres(model: pycolmap.Reconstruction, names: Sequence[str]) -> NDArray[np.float64]:
    images = {model.image(image_id).name: model.image(image_id) for image_id in model.reg_image_ids()}
    return np.array([images[name].projection_center() for name in names]).reshape(-1, 3)
