"""Where a scene's folder is: in its dataset's folder, or one below, as archives of single parts unpack."""

from pathlib import Path

from sfm.errors import InputError


def scene_folders(root: Path, scene: str) -> tuple[Path, ...]:
    """All folders of this scene: `ROOT/SCENE`, then every `ROOT/*/SCENE`, sorted."""
    return tuple(path for path in (root / scene, *sorted(root.glob(f"*/{scene}"))) if path.is_dir())


def scene_folder(root: Path, scene: str, *having: str) -> Path:
    """The scene's folder that holds one of the subfolders `having`; the first where none does.

    Raises:
        InputError: there is no folder of this scene.
    """
    folders = scene_folders(root, scene)
    if not folders:
        raise InputError(
            f"{root / scene} is missing", hint="unpack the scene there, or in a folder beside it"
        )
    return next((path for path in folders if any((path / name).is_dir() for name in having)), folders[0])
