"""`sfm merge`: two models that share images or points become one, if they fit."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.errors import InputError
from sfm.files.atomic import atomic_write_json
from sfm.geometry.similarity import extent, fit_cameras, fit_models, fit_points
from sfm.mapping.scene.adjusted_photos import all_photos
from sfm.mapping.scene.linear_solver import with_linear_solver

from .align import chosen_model
from .joined import joined_model
from .joint_points import matched_points, points_in_shared_photos, shared_photos
from .output import model_output

_MIN_POINTS = 15
_MIN_SHARE = 0.5
_MAX_POINT_ERROR = 0.03
"""Of the median distance from camera to point: how far apart the two places of a point may be."""
_MAX_TURN_DEG = 3.0
_MAX_OFFSET = 0.03
"""Median distance of a shared image's two places, of the extent of A's images."""
_MAX_ERROR_PX = 4.0
_MIN_ANGLE_DEG = 1.5
_MAX_ERROR_GROWTH = 1.3
"""Of the mean reprojection error, by joining."""

_BENT = "one of the models may be bent or folded, or show another place"

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fit:
    """How well two models fit each other."""

    num_shared_photos: int
    num_points: int
    """Points in common."""
    num_inliers: int
    """Of these, points that one similarity takes to each other."""
    scale: float
    """Length of B's unit in A's."""
    turn_deg: float | None
    """Median angle between both orientations of a shared image; None where there is none."""
    offset: float | None
    """Median distance between both places of a shared image, as a share of the extent of A's images."""


@dataclass(frozen=True, slots=True, eq=False)
class MergedModel:
    """One model in the frame of A, in `output/sparse/0`, and how well its parts fit."""

    output: Path
    model: pycolmap.Reconstruction
    fit: Fit
    adjusted: bool


def merge(
    a: str | Path,
    b: str | Path,
    *,
    output: str | Path,
    database: str | Path | None = None,
    adjust: bool = True,
) -> MergedModel:
    """Join two models into one in the frame of A; both are only read.

    A robust similarity aligns them: over points that common images observe with the same keypoints, else over
    the poses of common images. Without common images it uses points that verified matches in their common
    database identify.

    Args:
        a: output of a run (its largest model counts) or a COLMAP model folder.
        b: likewise.
        output: new folder, for `sparse/0` and `merge.json`.
        database: of both models; where both lie below one workspace, that one's is found.
        adjust: adjust all poses, intrinsics and points together; else A stays to the last bit.

    Raises:
        InputError: no models, models with rigs of several cameras, nothing in common, or models that do
            not fit; with the figures.
        WorkspaceError: `output` is not empty or cannot be written.
    """
    paths = Path(a).expanduser(), Path(b).expanduser()
    model_a, model_b = (chosen_model(path, 0) for path in paths)
    for path, model in zip(paths, (model_a, model_b), strict=True):
        _refuse_rigs(path, model)
    shared = shared_photos(model_a, model_b)
    store = Path(database).expanduser() if database is not None else _common_database(*paths)
    points = points_in_shared_photos(shared)
    if len(points) < _MIN_POINTS and store is not None:
        points |= matched_points(model_a, model_b, store)
    a_from_b, inliers = _similarity(model_a, model_b, shared, points)
    model_b.transform(a_from_b)
    fit = _fit(model_a, model_b, shared, len(points), len(inliers), float(a_from_b.scale))
    _require_agreement(fit)
    joined = joined_model(model_a, model_b, inliers, share_cameras=adjust)
    if adjust:
        joined = _adjusted(joined, model_a, model_b)
    done = MergedModel(Path(output).expanduser(), joined, fit, adjust)
    with model_output(done.output) as folder:
        folder.write(joined)
        figures = {"adjusted": adjust, "num_images": joined.num_reg_images(), **asdict(fit)}
        atomic_write_json(folder.root / "merge.json", figures)
    return done


def _refuse_rigs(path: Path, model: pycolmap.Reconstruction) -> None:
    if any(rig.num_sensors() > 1 for rig in model.rigs.values()):
        raise InputError(
            f"{path}: the photos of a rig with several cameras cannot be merged",
            hint="match the photos of both together and map them as one: sfm run with images.rig_config",
        )


def _common_database(a: Path, b: Path) -> Path | None:
    found = []
    for path in (a.absolute(), b.absolute()):
        places = (folder / "database.db" for folder in (path, *path.parents[:2]))
        found.append(next((place for place in places if place.is_file()), None))
    return found[0] if found[0] == found[1] else None


def _similarity(
    a: pycolmap.Reconstruction,
    b: pycolmap.Reconstruction,
    shared: list[tuple[pycolmap.Image, pycolmap.Image]],
    points: set[tuple[int, int]],
) -> tuple[pycolmap.Sim3d, set[tuple[int, int]]]:
    """A from B, and the points that agree with it."""
    pairs = sorted(points)
    if len(pairs) >= _MIN_POINTS:
        source = np.array([b.point3D(j).xyz for _, j in pairs])
        target = np.array([a.point3D(i).xyz for i, _ in pairs])
        found = fit_points(source, target)
        near = np.zeros(len(pairs), bool) if found is None else found.residuals <= _point_tolerance(a)
        if found is None or near.sum() < max(_MIN_POINTS, _MIN_SHARE * len(pairs)):
            raise InputError(
                f"the models do not fit: of {len(pairs)} points in common, {int(near.sum())} agree with the "
                f"best similarity ({_MIN_SHARE:.0%} needed)",
                hint=_BENT,
            )
        return found.sim3, {pair for pair, good in zip(pairs, near.tolist(), strict=True) if good}
    centres = [
        np.array([image.projection_center() for image in side]).reshape(-1, 3) for side in _sides(shared)
    ]
    turns = [
        np.array([i.cam_from_world().rotation.matrix() for i in side]).reshape(-1, 3, 3)
        for side in _sides(shared)
    ]
    fit = fit_cameras(centres[1], centres[0], turns[1], turns[0])
    if fit is None:
        raise InputError(
            f"the models have {len(shared)} photos and {len(pairs)} points in common, which is too little: "
            f"two photos in different places, or {_MIN_POINTS} points, are needed",
            hint="models without common photos can be joined by the matches of their common --database",
        )
    return fit.sim3, set()


def _point_tolerance(model: pycolmap.Reconstruction) -> float:
    xyz = np.array([point.xyz for point in model.points3D.values()])
    depths = [np.median((model.image(i).cam_from_world() * xyz)[:, 2]) for i in model.reg_image_ids()]
    return _MAX_POINT_ERROR * float(np.median(np.abs(depths)))


def _sides(
    shared: list[tuple[pycolmap.Image, pycolmap.Image]],
) -> tuple[list[pycolmap.Image], list[pycolmap.Image]]:
    return [a for a, _ in shared], [b for _, b in shared]


def _fit(
    a: pycolmap.Reconstruction,
    b: pycolmap.Reconstruction,
    shared: list[tuple[pycolmap.Image, pycolmap.Image]],
    num_points: int,
    num_inliers: int,
    scale: float,
) -> Fit:
    """`b` stands in the frame of `a` by now, and the images of `shared` with it."""
    turn = offset = None
    if shared:
        angles = [
            float(np.degrees((x.cam_from_world().rotation * y.cam_from_world().rotation.inverse()).angle()))
            for x, y in shared
        ]
        size = extent(np.array([a.image(i).projection_center() for i in a.reg_image_ids()]))
        distances = [float(np.linalg.norm(x.projection_center() - y.projection_center())) for x, y in shared]
        turn = float(np.median(angles))
        offset = float(np.median(distances)) / size if size else 0.0
    return Fit(len(shared), num_points, num_inliers, scale, turn, offset)


def _require_agreement(fit: Fit) -> None:
    if fit.turn_deg is None or fit.offset is None:
        return
    if fit.turn_deg > _MAX_TURN_DEG or fit.offset > _MAX_OFFSET:
        raise InputError(
            f"the models do not fit: {fit.num_shared_photos} photos of both differ by {fit.turn_deg:.1f} deg "
            f"and {fit.offset:.1%} of the extent in the median (at most {_MAX_TURN_DEG:g} deg and "
            f"{_MAX_OFFSET:.0%})",
            hint=_BENT,
        )


def _adjusted(
    joined: pycolmap.Reconstruction, a: pycolmap.Reconstruction, b: pycolmap.Reconstruction
) -> pycolmap.Reconstruction:
    """After bundle adjustment, back in the frame of `a`."""
    before = sum(part.compute_num_observations() for part in (a, b))
    error = max(part.compute_mean_reprojection_error() for part in (a, b))
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options = with_linear_solver(joined, options)
    config = all_photos(joined, constant_cameras=set())
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    for _ in range(2):
        pycolmap.create_default_bundle_adjuster(options, config, joined).solve()
        pycolmap.ObservationManager(joined).filter_all_points3D(_MAX_ERROR_PX, _MIN_ANGLE_DEG)
    joined.update_point_3d_errors()
    if fit := fit_models(joined, a):
        joined.transform(fit.sim3)
    kept, after = joined.compute_num_observations(), joined.compute_mean_reprojection_error()
    if after > _MAX_ERROR_GROWTH * error:
        raise InputError(
            f"the models do not fit: adjusted together, the mean reprojection error grows from {error:.2f} "
            f"to {after:.2f} px ({_MAX_ERROR_GROWTH:g} times at most; {kept} of {before} observations left)"
        )
    return joined
