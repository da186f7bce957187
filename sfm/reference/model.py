"""MODEL, as the user gives it: a workspace of ours or a COLMAP model with its photos, opened and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from sfm.colmap.database import FeatureDatabase
from sfm.colmap.model_files import model_key, read_models
from sfm.config.loading import load_config
from sfm.config.schema import Config
from sfm.errors import InputError
from sfm.ingest.discover import FoundFile
from sfm.types import CameraSpec
from sfm.workspace.workspace import MARKER

from .photo_files import photos_in, workspace_photos


@dataclass(frozen=True, slots=True, eq=False)
class GivenModel:
    """A model that is to be extended or localised against.

    Attributes:
        root: as the user gave it.
        models: largest first.
        key: of the models' content.
        photos: files of its photos under their names in the model; in a workspace also of those that are in
            no model.
        cameras: camera of each of these photos.
        database: with the features of these photos, where there is one.
        workspace: whether `root` is the output of a run, whose caches are good.
    """

    root: Path
    models: tuple[pycolmap.Reconstruction, ...]
    key: str
    photos: tuple[FoundFile, ...]
    cameras: Mapping[str, CameraSpec]
    database: Path | None
    workspace: bool

    @property
    def registered(self) -> frozenset[str]:
        """Photos that have a pose."""
        return frozenset(model.image(i).name for model in self.models for i in model.reg_image_ids())

    @property
    def model_cameras(self) -> dict[str, pycolmap.Camera]:
        """Cameras of the photos that have a pose, as the models have them."""
        images = ((model, model.image(i)) for model in self.models for i in model.reg_image_ids())
        return {image.name: model.camera(image.camera_id) for model, image in images}

    def config(self) -> Config | None:
        """The options of the run that made it; None where they are not recorded."""
        record = self.root / "run.json"
        return load_config(record) if self.workspace and record.is_file() else None


def open_given(root: Path, *, images: Path | None = None, database: Path | None = None) -> GivenModel:
    """Open and check MODEL.

    Args:
        root: the output of a run, or a COLMAP model folder.
        images: folder of its photos; needed unless `root` is a workspace with their places.
        database: its COLMAP database; only with a model that is no workspace.

    Raises:
        InputError: no model, damaged files, photos that aren't where they should be, or a database that does
            not go with the model.
    """
    root = root.expanduser().absolute()
    models = tuple(sorted(read_models(root), key=lambda model: -model.num_reg_images()))
    if not any(model.num_reg_images() for model in models):
        raise InputError(f"{root}: no photo is registered in the model", hint="sfm run makes a new one")
    key = model_key(root)
    own = root / "database.db"
    if _is_workspace(root):
        if database is not None:
            raise InputError(f"{root} has a database of its own", hint="leave --database out")
        cameras = FeatureDatabase(own, read_only=True).cameras()
        photos = photos_in(images, cameras) if images else workspace_photos(root, sorted(cameras))
        return GivenModel(root, models, key, photos, cameras, own, workspace=True)
    if images is None:
        raise InputError(
            f"{root} is a COLMAP model without its photos", hint="give their folder: --images FOLDER"
        )
    if database is not None and not database.is_file():
        raise InputError(f"{database} does not exist", hint="--database is the database.db of the model")
    cameras = _model_cameras(models)
    photos = photos_in(images, cameras)
    found = database or (own if own.is_file() else None)
    return GivenModel(root, models, key, photos, cameras, found, workspace=False)


def _is_workspace(root: Path) -> bool:
    """Whether a run over photos made the folder; a run from a database alone has no photos."""
    database = root / "database.db"
    if not (root / "cache" / MARKER).is_file() or not database.is_file():
        return False
    return bool(FeatureDatabase(database, read_only=True).stage_keys())


def _model_cameras(models: Sequence[pycolmap.Reconstruction]) -> dict[str, CameraSpec]:
    found: dict[str, CameraSpec] = {}
    for model in models:
        for image_id in model.reg_image_ids():
            image = model.image(image_id)
            if image.name in found:
                raise InputError(
                    f"photo {image.name} is in two of the models",
                    hint="give one model folder, such as sparse/0",
                )
            found[image.name] = _spec(model.camera(image.camera_id))
    ids = [{model.image(i).camera_id for i in model.reg_image_ids()} for model in models]
    if len(set().union(*ids)) < sum(map(len, ids)):
        raise InputError(
            f"{len(models)} models have cameras of the same ids",
            hint="give one model folder, such as sparse/0",
        )
    return found


def _spec(camera: pycolmap.Camera) -> CameraSpec:
    params = tuple(float(value) for value in camera.params)
    known = bool(camera.has_prior_focal_length)
    return CameraSpec(camera.camera_id, camera.model.name, camera.width, camera.height, params, known)
