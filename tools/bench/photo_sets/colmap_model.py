"""Any photos with a COLMAP model as their truth: Mip-NeRF 360, and whatever else has this layout.

    SCENE/images/*        SCENE/sparse/0/{cameras,images}.{bin,txt}   (or SCENE/sparse/)

The poses are COLMAP's and of arbitrary scale. Photos that the model lacks are reconstructed, but not scored.
"""

from pathlib import Path

from photo_sets.eth3d import need_announced_count, with_cameras
from photo_sets.places import scene_folder
from photo_sets.scene import BenchmarkScene, need_photos, photos_in
from sfm.colmap.model_poses import read_poses
from sfm.errors import InputError


def load_colmap_model(root: Path, scene: str, *, dataset: str) -> BenchmarkScene:
    """The scene below the dataset's folder; of several models the first.

    Raises:
        InputError: a file is missing or malformed, or the model knows photos that are not there; names it.
    """
    folder = scene_folder(root, scene, "sparse")
    photos = folder / "images"
    model = next((path for path in model_folders(folder) if has_model(path)), None)
    if model is None:
        raise InputError(f"{folder / 'sparse' / '0'} holds no COLMAP model", hint="unpack the model there")
    poses = read_poses(model)
    if (model / "images.txt").is_file() and not (model / "images.bin").is_file():
        need_announced_count(model / "images.txt", len(poses))
    names = tuple(sorted({*photos_in(photos), *poses}))
    need_photos(photos, poses, model)
    return BenchmarkScene(
        dataset=dataset,
        scene=scene,
        photos=photos,
        names=names,
        truth=with_cameras(poses, model, unit=None),
        kind="pseudo",
        origin="COLMAP",
    )


def model_folders(folder: Path) -> tuple[Path, ...]:
    """Where a scene's model may be."""
    return (folder / "sparse" / "0", folder / "sparse")


def has_model(folder: Path) -> bool:
    """Whether a folder has poses of COLMAP's."""
    return any((folder / name).is_file() for name in ("images.bin", "images.txt"))
