"""Benchmarks' datasets: what there are, where to get them, and whether what is there is whole.

    python tools/bench/datasets.py list
    python tools/bench/datasets.py check FOLDER          # exit code 1 where something that is there is wrong
    python tools/bench/datasets.py check FOLDER --pin    # keep checksums in FOLDER/DATASET/SHA256SUMS

FOLDER holds a folder a dataset: eth3d/, tanks_and_temples/, …; unless it is named, it is $LOOPSFM_DATASETS,
or else ~/datasets. Archives may be unpacked into a dataset's folder or into folders of their own there.
Nothing is downloaded. `list` tells the scenes of each group; benches take DATASET:SCENE or DATASET:GROUP.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.arguments import one_line, program
from photo_sets import DATASETS, DEFAULT_ROOT, BenchmarkScene, Dataset, load_scene
from photo_sets.checksums import compare_and_pin
from photo_sets.lists import scene_list
from PIL import Image

from sfm.errors import SfmError

PINS = "SHA256SUMS"


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneState:
    """What is there of one scene."""

    name: str
    photos: int = 0
    poses: int = 0
    cameras: int = 0
    kind: str = ""
    """`measured`, or `pseudo`: another program's result."""
    problem: str = ""
    """One line, naming the file; empty where the scene can be run."""


@dataclass(frozen=True, slots=True)
class DatasetState:
    """What is there of one dataset."""

    dataset: str
    title: str
    get: str
    folder: str
    present: bool
    scenes: tuple[SceneState, ...]
    absent: tuple[str, ...]
    """Scenes of its list that are not there."""
    checksums: str
    """What comparing them gave; empty where none are kept."""
    problems: tuple[str, ...]
    """Of its scenes and checksums, a line each."""


def main() -> None:
    """Parse, look, print."""
    options = _parse()
    if options.command == "list":
        _print_list(as_json=options.json)
        return
    if not options.folder.is_dir() and options.folder != DEFAULT_ROOT:
        sys.exit(f"error: {options.folder} is not a folder")
    states = [check(dataset, options.folder, pin=options.pin) for dataset in DATASETS.values()]
    if options.json:
        print(json.dumps([asdict(state) for state in states], indent=1))
    else:
        for state in states:
            print("\n".join(_lines(state)))
    if any(state.problems for state in states):
        sys.exit(1)


def check(dataset: Dataset, root: Path, *, pin: bool = False) -> DatasetState:
    """Look at one dataset below the folder of datasets.

    Args:
        dataset: which.
        root: the folder of datasets.
        pin: whether to begin a list of checksums where there is none yet; one that is there is always used.
    """
    folder = root / dataset.folder
    listed = scene_list(dataset.list_name or dataset.name).scenes
    found = dataset.found(folder) if folder.is_dir() else []
    scenes = tuple(_scene_state(dataset, scene, root) for scene in found)
    problems = [f"{scene.name}: {scene.problem}" for scene in scenes if scene.problem]
    checksums = ""
    owners = (other for other in DATASETS.values() if other.folder == dataset.folder)
    owner = next((other for other in owners if folder.is_dir() and other.found(folder)), None)
    if dataset is owner and (pin or (folder / PINS).is_file()):
        checksums, changed = _checksums(folder)
        problems += changed
    return DatasetState(
        dataset=dataset.name,
        title=dataset.title,
        get=dataset.get,
        folder=str(folder),
        present=bool(found),
        scenes=scenes,
        absent=tuple(scene for scene in listed if scene not in found),
        checksums=checksums,
        problems=tuple(problems),
    )


def _scene_state(dataset: Dataset, scene: str, root: Path) -> SceneState:
    name = f"{dataset.name}:{scene}"
    try:
        loaded = load_scene(f"{name}@all", root)
        problem = next(_misfits(loaded), "")
    except SfmError as error:
        return SceneState(name=name, problem=one_line(error))
    return SceneState(
        name=name,
        photos=len(loaded.names),
        poses=len(loaded.truth.poses),
        cameras=len(set(map(str, (loaded.truth.cameras or {}).values()))),
        kind=loaded.kind,
        problem=problem,
    )


def _misfits(scene: BenchmarkScene) -> Iterator[str]:
    """Photos that cannot be opened, or are of another size than their true camera."""
    for name in scene.names:
        camera = (scene.truth.cameras or {}).get(name)
        try:
            with Image.open(scene.photos / name) as photo:
                width, height = photo.size
        except OSError as error:
            yield f"{scene.photos / name} is not a readable photo: {error}"
            continue
        if camera is not None and (width, height) != (camera.width, camera.height):
            yield (
                f"{scene.photos / name} has {width} x {height} pixels, its true camera"
                f" {camera.width} x {camera.height}: its intrinsics are not those of this copy"
            )


def _checksums(folder: Path) -> tuple[str, list[str]]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(PINS))
    try:
        result = compare_and_pin(files, folder, folder / PINS)
    except SfmError as error:
        return "unusable", [str(error)]
    changed = len(result.problems)
    text = f"{result.same} files as pinned, {result.pinned} pinned now, {changed} changed or missing"
    return text, list(result.problems)


def _lines(state: DatasetState) -> Iterator[str]:
    yield f"{state.dataset}: {state.title}"
    if not state.present:
        yield f"  not in {state.folder}; get it from {state.get}"
    for scene in state.scenes:
        if not scene.problem:
            truth = "measured" if scene.kind == "measured" else "another program's result"
            yield (
                f"  {scene.name:<40} {scene.photos:>5} photos, {scene.poses} poses ({truth}),"
                f" {scene.cameras} cameras"
            )
    if state.present and state.absent:
        yield f"  not there: {', '.join(state.absent)}"
    if state.checksums:
        yield f"  checksums: {state.checksums}"
    for problem in state.problems:
        yield f"  problem: {problem}"


def _print_list(*, as_json: bool) -> None:
    entries = []
    for dataset in DATASETS.values():
        known = scene_list(dataset.list_name or dataset.name)
        counts = {scene: listed.num_photos for scene, listed in known.scenes.items()}
        entries.append(
            {
                "dataset": dataset.name,
                "title": dataset.title,
                "get": dataset.get,
                "folder": dataset.folder,
                "counts_from": f"{known.source} ({known.confidence})",
                "photos": counts,
            }
        )
    if as_json:
        print(json.dumps(entries, indent=1))
        return
    for entry, dataset in zip(entries, DATASETS.values(), strict=True):
        print(f"{dataset.name}: {dataset.title}\n  get: {dataset.get}\n  in: FOLDER/{dataset.folder}/SCENE")
        groups: dict[str, list[str]] = {}
        for listed in scene_list(dataset.list_name or dataset.name).scenes.values():
            groups.setdefault(listed.group, []).append(f"{listed.scene} {listed.num_photos or '?'}")
        for group, scenes in groups.items():
            print(f"  {group}: {', '.join(scenes)}")
        print(f"  counts: {entry['counts_from']}")


def _parse() -> argparse.Namespace:
    parser = program(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="every dataset, where to get it, its scenes and counts")
    checking = commands.add_parser("check", help="what is there, and what is wrong with it")
    checking.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=DEFAULT_ROOT,
        metavar="FOLDER",
        help="of all datasets (default: $LOOPSFM_DATASETS, or else ~/datasets: %(default)s)",
    )
    checking.add_argument("--pin", action="store_true", help=f"keep checksums in FOLDER/DATASET/{PINS}")
    for command in (listing, checking):
        command.add_argument("--json", action="store_true", help="the same as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
