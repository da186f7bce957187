"""A scene as a folder that every runner takes: `images/` of links and the truth beside it.

FOLDER/images/NAME       a link to each photo asked for, under its own relative name
FOLDER/gt.json           measured truth; `reference.json` where it is another program's result
FOLDER/photos.txt        the photos asked for, one a line
"""

import json
import os
import shutil
from pathlib import Path

from photo_sets.scene import BenchmarkScene
from sfm.colmap.model_cameras import camera_entry
from sfm.errors import InputError
from sfm.evaluation import GroundTruth


def stage(scene: BenchmarkScene, folder: Path) -> Path:
    """Make or renew the folder and give it back; nothing is written where it is as it should be.

    Raises:
        InputError: neither links nor copies can be made there.
    """
    truth = truth_file(scene)
    texts = {truth: truth_text(scene), "photos.txt": photo_list(scene)}
    for name in ("gt.json", "reference.json"):
        if name != truth:
            (folder / name).unlink(missing_ok=True)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for path in sorted(images.rglob("*"), reverse=True):
        if not path.is_dir() and path.relative_to(images).as_posix() not in scene.names:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for name in scene.names:
        link_photo(scene.photos / name, images / name)
    for name, text in texts.items():
        _write_if_other(folder / name, text)
    return folder


def truth_file(scene: BenchmarkScene) -> str:
    """The name under which runners find the truth, and know whether it was measured."""
    return "gt.json" if scene.kind == "measured" else "reference.json"


def truth_text(scene: BenchmarkScene) -> str:
    """The content of gt.json, which `sfm.evaluation.load_ground_truth` reads."""
    more = {"scene": scene.name, "origin": scene.origin, "left_out": scene.left_out}
    return json.dumps({**truth_content(scene.truth), **more}, indent=1) + "\n"


def truth_content(truth: GroundTruth) -> dict[str, object]:
    """Truth of one scene as JSON values of gt.json."""
    return {
        "images": {
            name: {"R_cw": pose.rotation.matrix().tolist(), "t_cw": pose.translation.tolist()}
            for name, pose in truth.poses.items()
        },
        "cameras": {name: camera_entry(camera) for name, camera in (truth.cameras or {}).items()},
        "unit": truth.unit,
        "position_accuracy": truth.position_accuracy,
        "metres_per_unit": truth.metres_per_unit,
    }


def photo_list(scene: BenchmarkScene) -> str:
    """The photos asked for, one a line: kept beside a report, so that others can use the same ones."""
    return "".join(f"{name}\n" for name in scene.names)


def link_photo(photo: Path, link: Path) -> None:
    """Make a symbolic link, a hard one where the system has none, a copy where neither can be made.

    Raises:
        InputError: none of them can be made.
    """
    photo = photo.resolve()
    if link.exists() and os.path.samefile(link, photo):
        return
    link.unlink(missing_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    failure: OSError | None = None
    for make in (os.symlink, os.link, shutil.copy2):
        try:
            make(photo, link)
        except OSError as error:
            failure = error
        else:
            return
    raise InputError(f"{link} cannot be made: {failure}")


def _write_if_other(file: Path, text: str) -> None:
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    temporary = file.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, file)
