"""All datasets by name: where to get each, which of its scenes are in a folder, and how one is read."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from photo_sets.colmap_model import has_model, load_colmap_model, model_folders
from photo_sets.eth3d import Variant, has_variant, load_eth3d
from photo_sets.lists import LISTS, scene_list
from photo_sets.scene import BenchmarkScene, need_count
from photo_sets.strecha import load_strecha
from photo_sets.subsets import with_subset
from photo_sets.tanks_and_temples import load_tanks_and_temples
from sfm.errors import InputError

DEFAULT_ROOT = Path(os.environ.get("LOOPSFM_DATASETS", Path.home() / "datasets"))
_ETH3D = "https://www.eth3d.net/datasets: multi_view_{training,test}_dslr"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset below the folder of datasets."""

    name: str
    title: str
    get: str
    """Where to get it, and what of it."""
    folder: str
    """Its folder below the folder of datasets."""
    found: Callable[[Path], list[str]]
    """Scenes in that folder, given the folder."""
    load: Callable[[Path, str], BenchmarkScene]
    """A scene by its name, from that folder."""
    list_name: str = ""
    """Whose list of scenes holds."""


def load_scene(name: str, root: Path) -> BenchmarkScene:
    """The scene `DATASET:SCENE[@SUBSET]` below the folder of datasets.

    Raises:
        InputError: there is no such dataset or scene, its files are missing or malformed, or its photos are
            not as many as its list says; the message names the file.
    """
    dataset_name, _, rest = name.partition(":")
    scene, _, subset = rest.partition("@")
    dataset = DATASETS.get(dataset_name)
    if dataset is None or not scene:
        raise InputError(f"no dataset scene {name!r}", hint=f"DATASET:SCENE[@N] with {', '.join(DATASETS)}")
    folder = root / dataset.folder
    if not folder.is_dir():
        raise InputError(f"{folder} is missing: {dataset.title}", hint=f"get it from {dataset.get}")
    loaded = dataset.load(folder, scene)
    listed = scene_list(dataset.list_name or dataset.name).scenes.get(scene)
    need_count(len(loaded.names), listed.num_photos if listed else None, loaded.photos, LISTS)
    return with_subset(loaded, subset)


def scene_names(name: str, root: Path) -> list[str]:
    """`DATASET:SCENE[@SUBSET]` of each scene of `DATASET:GROUP[@SUBSET]`; `name` where it is no group.

    Groups are those of the dataset's list, and `all`: the whole list, or what is there where there is none.
    Scenes of a list that are not there stay in, so that nobody averages over others.
    """
    dataset_name, _, rest = name.partition(":")
    group, at, subset = rest.partition("@")
    dataset = DATASETS.get(dataset_name)
    if dataset is None:
        return [name]
    scenes = list(listed_scenes(dataset, group))
    folder = root / dataset.folder
    if not scenes and group == "all" and folder.is_dir():
        scenes = dataset.found(folder)
    return [f"{dataset_name}:{scene}{at}{subset}" for scene in scenes] or [name]


def listed_scenes(dataset: Dataset, group: str) -> tuple[str, ...]:
    """Scenes of a group of the dataset's list, or of its whole list; none where it has no such group."""
    listed = scene_list(dataset.list_name or dataset.name).scenes
    return tuple(scene for scene, entry in listed.items() if group in (entry.group, "all"))


def _listed_and_there(dataset: str, root: Path) -> list[str]:
    """Scenes of the list that have a folder."""
    folders = {path.name for pattern in ("*", "*/*") for path in root.glob(pattern) if path.is_dir()}
    return [scene for scene in scene_list(dataset).scenes if scene in folders]


def _with_models(root: Path) -> list[str]:
    """Folders that hold a COLMAP model as `sparse/`."""
    folders = [path for pattern in ("*", "*/*") for path in sorted(root.glob(pattern)) if path.is_dir()]
    return [path.name for path in folders if any(has_model(model) for model in model_folders(path))]


def _eth3d_scenes(variant: Variant, root: Path) -> list[str]:
    return [scene for scene in _listed_and_there("eth3d", root) if has_variant(root, scene, variant)]


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="eth3d",
            title="ETH3D high-resolution multi-view, undistorted",
            get=f"{_ETH3D}_undistorted.7z",
            folder="eth3d",
            found=partial(_eth3d_scenes, "undistorted"),
            load=load_eth3d,
        ),
        Dataset(
            name="eth3d-distorted",
            title="ETH3D high-resolution multi-view, photos as taken",
            get=f"{_ETH3D}_jpg.7z",
            folder="eth3d",
            found=partial(_eth3d_scenes, "distorted"),
            load=partial(load_eth3d, dataset="eth3d-distorted", variant="distorted"),
            list_name="eth3d",
        ),
        Dataset(
            name="tanks_and_temples",
            title="Tanks and Temples",
            get="https://www.tanksandtemples.org/download: image sets, camera poses, alignment, ground truth",
            folder="tanks_and_temples",
            found=partial(_listed_and_there, "tanks_and_temples"),
            load=load_tanks_and_temples,
        ),
        Dataset(
            name="strecha",
            title="Strecha et al., dense multi-view stereo",
            get="https://github.com/openMVG/SfM_quality_evaluation (Benchmarking_Camera_Calibration_2008)",
            folder="strecha",
            found=partial(_listed_and_there, "strecha"),
            load=load_strecha,
        ),
        Dataset(
            name="mipnerf360",
            title="Mip-NeRF 360",
            get="https://jonbarron.info/mipnerf360: 360_v2.zip (and the two extra scenes)",
            folder="mipnerf360",
            found=_with_models,
            load=partial(load_colmap_model, dataset="mipnerf360"),
        ),
        Dataset(
            name="colmap",
            title="Any photos with a COLMAP model: SCENE/images, SCENE/sparse/0",
            get="your own",
            folder="colmap",
            found=_with_models,
            load=partial(load_colmap_model, dataset="colmap"),
        ),
    )
}
