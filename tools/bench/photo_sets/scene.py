"""One scene of a benchmark, whatever its dataset: its photos, what is known of them, and how well."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sfm.errors import InputError
from sfm.evaluation import GroundTruth

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
TruthKind = Literal["measured", "pseudo"]
_NAMED = 3


@dataclass(frozen=True, slots=True, eq=False)
class BenchmarkScene:
    """Photos to reconstruct and the truth that the result is compared with."""

    dataset: str
    scene: str
    photos: Path
    """The folder to which names of photos are relative."""
    names: tuple[str, ...]
    """Of the photos asked for, sorted; `/` between folders. Those that `truth` lacks are reconstructed, too,
    but not scored."""
    truth: GroundTruth
    """cam_from_world, intrinsics where they are shipped, unit and stated accuracy of positions."""
    kind: TruthKind
    """Whether cameras were measured (by laser, or with scans' help), or are another program's result."""
    origin: str
    """What measured or computed the cameras."""
    subset: str = ""
    """Which of the scene's photos these are, as it was asked for; empty for all."""
    left_out: int = 0
    """Photos of the scene that are not among them: 200 of a scene with 151 leave out none."""

    @property
    def name(self) -> str:
        """As `scene_name` puts it together."""
        return scene_name(self.dataset, self.scene, self.subset)

    def restricted(self, names: Iterable[str], subset: str) -> BenchmarkScene:
        """The same scene with only these of its photos."""
        chosen = frozenset(names)
        poses = {name: pose for name, pose in self.truth.poses.items() if name in chosen}
        cameras = self.truth.cameras
        if cameras is not None:
            cameras = {name: camera for name, camera in cameras.items() if name in chosen}
        kept = tuple(name for name in self.names if name in chosen)
        return replace(
            self,
            names=kept,
            left_out=self.left_out + len(self.names) - len(kept),
            truth=replace(self.truth, poses=poses, cameras=cameras),
            subset=subset,
        )


def scene_name(dataset: str, scene: str, subset: str = "") -> str:
    """As `eth3d/pipes` or `tanks_and_temples/Barn@50`; an empty subset is all photos."""
    return f"{dataset}/{scene}" + (f"@{subset}" if subset else "")


def photos_in(folder: Path, below: Path | None = None) -> tuple[str, ...]:
    """Names of the photos that lie directly in a folder, sorted, relative to `below` (or to the folder).

    Raises:
        InputError: there is no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is missing", hint="unpack the photos there, as the dataset ships them")
    found = sorted(
        path.relative_to(below or folder).as_posix()
        for path in folder.iterdir()
        if path.suffix.lower() in PHOTO_SUFFIXES
    )
    if folders := [name for name in found if not ((below or folder) / name).is_file()]:
        raise InputError(f"{(below or folder) / folders[0]} is no file", hint="unpack the photos again")
    if not found:
        raise InputError(f"{folder} holds no photos", hint=f"expected files {', '.join(PHOTO_SUFFIXES)}")
    return tuple(found)


def need_photos(photos: Path, names: Iterable[str], said_by: Path) -> None:
    """Refuse ground truth for photos that are not on disk, or empty.

    Raises:
        InputError: names the first such photo and the file that knows it.
    """
    listed = list(names)
    missing = [name for name in listed if not (photos / name).is_file()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise InputError(
            f"{photos / missing[0]} is missing{more}: {said_by} knows it",
            hint="unpack the photos again; names must be as the dataset ships them",
        )
    empty = next((name for name in listed if not (photos / name).stat().st_size), None)
    if empty is not None:
        raise InputError(f"{photos / empty} is empty", hint="unpack the photos again")


def need_truth(names: Iterable[str], known: Collection[str], photos: Path, said_by: Path) -> None:
    """Refuse photos of a dataset with poses for all of them that have none.

    Raises:
        InputError: names the first such photos.
    """
    strangers = [name for name in names if name not in known]
    if strangers:
        more = f" (and {len(strangers) - _NAMED} more)" if len(strangers) > _NAMED else ""
        raise InputError(
            f"{photos}: {', '.join(strangers[:_NAMED])}{more} has no pose in {said_by}",
            hint="remove photos that are not the dataset's, or unpack the ground truth again",
        )


def need_count(found: int, listed: int | None, photos: Path, lists: Path) -> None:
    """Refuse a scene with more or fewer photos than the list of its dataset says.

    Raises:
        InputError: names the folder, both numbers and the list.
    """
    if listed is not None and found != listed:
        raise InputError(
            f"{photos} has {found} photos where {lists.name} lists {listed}",
            hint=f"unpack it again; if the dataset has changed or the list is wrong, change {lists}",
        )
