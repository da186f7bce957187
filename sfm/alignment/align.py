"""`sfm align`: a model is transformed to ground truth, to another model, or to GPS positions."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from sfm.colmap.model_files import read_models
from sfm.errors import InputError
from sfm.evaluation.ground_truth import GroundTruth, load_ground_truth
from sfm.evaluation.names import match_names
from sfm.files.atomic import atomic_write_json
from sfm.geometry.similarity import RobustFit, extent, fit_cameras, fit_points
from sfm.geometry.wgs84 import Place

from .gps import gps_positions
from .output import model_output

_MAX_MEDIAN = 0.1
"""Of the extent of the target: a model whose images lie farther off has not been recognised."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AlignedModel:
    """A transformed model.

    Attributes:
        output: holds `sparse/0` and `alignment.json`.
        model: transformed.
        scale: length of the model's old unit in the new one.
        names: images that the target has.
        residuals: distance of each of these from its target, in the target's unit.
        inliers: which of them the fit used.
        origin: of the frame east, north, up in metres, with `gps`; else None.
    """

    output: Path
    model: pycolmap.Reconstruction
    scale: float
    names: tuple[str, ...]
    residuals: Array
    inliers: NDArray[np.bool_]
    origin: Place | None

    @property
    def median_residual(self) -> float:
        """Over all common images."""
        return float(np.median(self.residuals))

    @property
    def rms_residual(self) -> float:
        """Over the inliers."""
        return float(np.sqrt(np.mean(self.residuals[self.inliers] ** 2)))

    def to_dict(self) -> dict[str, object]:
        """As JSON values, for `OUT/alignment.json`."""
        rows = zip(self.names, self.residuals.tolist(), self.inliers.tolist(), strict=True)
        return {
            "num_photos": len(self.names),
            "num_inliers": int(self.inliers.sum()),
            "scale": self.scale,
            "median_residual": self.median_residual,
            "rms_residual_of_inliers": self.rms_residual,
            "max_residual": float(self.residuals.max()),
            "origin": None if self.origin is None else asdict(self.origin),
            "photos": {name: {"residual": round(r, 6), "inlier": used} for name, r, used in rows},
        }


def align(
    model: str | Path,
    to: str | Path,
    *,
    output: str | Path,
    images: str | Path | None = None,
    number: int = 0,
) -> AlignedModel:
    """Transform a model by the similarity that fits most of its images; nothing inside it changes.

    Args:
        model: output of a run, or a COLMAP model folder; only read.
        to: a gt.json, a COLMAP model, or `gps`: metres east, north and up about an origin in the middle
            of the images, which is written to `sparse/0/georeference.json` (WGS84).
        output: new folder, for `sparse/0` and `alignment.json`.
        images: folder of the images, for `gps` where `model` is no workspace.
        number: which of several models, largest first.

    Raises:
        InputError: no such model or target, too few common images, collinear positions (for `gps`), or a
            target that the model does not fit.
        WorkspaceError: `output` is not empty or cannot be written.
    """
    root, output = Path(model).expanduser(), Path(output).expanduser()
    found = chosen_model(root, number)
    names = sorted(found.image(i).name for i in found.reg_image_ids())
    origin: Place | None = None
    if str(to) == "gps":
        database = root / "database.db"
        positions, origin = gps_positions(
            names,
            database=database if database.is_file() and images is None else None,
            images=Path(images).expanduser() if images is not None else None,
        )
        known, fit = _fit_to_positions(found, positions)
    else:
        known, fit = _fit_to_poses(found, load_ground_truth(Path(to).expanduser()), str(to))
    target_extent = _require_fit(fit, found, known, str(to))
    found.transform(fit.sim3)
    done = AlignedModel(
        output, found, float(fit.sim3.scale), tuple(known), fit.residuals, fit.inliers, origin
    )
    with model_output(output) as folder:
        folder.write(found)
        if origin is not None:
            atomic_write_json(folder.sparse / "georeference.json", _georeference(done))
        atomic_write_json(folder.root / "alignment.json", {**done.to_dict(), "extent": target_extent})
    return done


def chosen_model(root: Path, number: int) -> pycolmap.Reconstruction:
    """Model `number` at `root`, largest first.

    Raises:
        InputError: there are not so many.
    """
    models = sorted(read_models(root), key=lambda model: -model.num_reg_images())
    if number >= len(models):
        raise InputError(f"{root} holds {len(models)} model(s), none of number {number}")
    return models[number]


def _fit_to_positions(
    model: pycolmap.Reconstruction, positions: Mapping[str, Array]
) -> tuple[list[str], RobustFit]:
    known = sorted(positions)
    source, target = _centres(model, known), np.array([positions[name] for name in known])
    fit = fit_points(source, target)
    if fit is None:
        raise InputError(
            "the photos with GPS stand on a line, or all in one place: positions alone leave open how the "
            "model is turned about it",
            hint="use sfm align --to a model or a gt.json with orientations",
        )
    return known, fit


def _fit_to_poses(
    model: pycolmap.Reconstruction, truth: GroundTruth, where: str
) -> tuple[list[str], RobustFit]:
    of_name = match_names((model.image(i).name for i in model.reg_image_ids()), truth.poses)
    if truth.components is not None:
        # several scenes have unrelated frames: the one that most images of the model show counts
        labels = [truth.components[true] for true in of_name.values()]
        label = max(sorted(set(labels)), key=labels.count, default="")
        of_name = {name: true for name, true in of_name.items() if truth.components[true] == label}
    known = sorted(of_name)
    poses = [truth.poses[of_name[name]] for name in known]
    target = np.array([pose.inverse().translation for pose in poses]).reshape(-1, 3)
    images = {model.image(i).name: model.image(i) for i in model.reg_image_ids()}
    turns = [
        np.array([pose.rotation.matrix() for pose in some]).reshape(-1, 3, 3)
        for some in ([images[name].cam_from_world() for name in known], poses)
    ]
    fit = fit_cameras(_centres(model, known), target, *turns)
    if fit is None:
        raise InputError(
            f"the model and {where} have {len(known)} photos in common that stand in different places; two "
            "are needed at least"
        )
    return known, fit


def _centres(model: pycolmap.Reconstruction, names: list[str]) -> Array:
    images = {model.image(i).name: model.image(i) for i in model.reg_image_ids()}
    return np.array([images[name].projection_center() for name in names]).reshape(-1, 3)


def _require_fit(fit: RobustFit, model: pycolmap.Reconstruction, known: list[str], where: str) -> float:
    """Extent of the target, once it is certain that the model fits it."""
    size = float(fit.sim3.scale) * extent(_centres(model, known))
    median = float(np.median(fit.residuals))
    if median > _MAX_MEDIAN * size:
        raise InputError(
            f"the model does not fit {where}: of {len(known)} photos in common, half lie more than "
            f"{median:.3g} from their place, {median / size:.0%} of the extent of all (at most "
            f"{_MAX_MEDIAN:.0%})",
            hint="are the names those of the same photos?",
        )
    return size


def _georeference(done: AlignedModel) -> dict[str, object]:
    assert done.origin is not None
    return {
        "frame": "enu",
        "why": "GPS positions of photos, by a robust similarity (sfm align --to gps)",
        "origin": asdict(done.origin),
        "num_positions": len(done.names),
        "outliers": [n for n, used in zip(done.names, done.inliers.tolist(), strict=True) if not used],
        "scale": done.scale,
        "median_residual_m": done.median_residual,
    }
