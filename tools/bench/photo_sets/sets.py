"""The collections that are measured: where their photos and their truth are, and what identifies them."""

import argparse
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from harness.arguments import add_overrides, count, file_to_write, folder_to_write, one_line, program
from harness.paths import CACHE, DATA

from photo_sets import DATASETS, DEFAULT_ROOT, BenchmarkScene, load_scene, scene_names, stage
from photo_sets.scene import scene_name
from sfm.errors import InputError, SfmError
from sfm.ingest.discover import discover

SETS_HELP = """\
Sets are folders in --data, paths of folders (photos in SET/images or SET), or scenes of benchmarks, which lie
as their sites ship them below --datasets or $LOOPSFM_DATASETS (`datasets.py list` tells which there are):
  eth3d:pipes                   one scene, all its photos
  eth3d:training                all scenes of a group; tanks_and_temples:all, …
  tanks_and_temples:Barn@50     50 photos, regularly sampled; also of a group
  eth3d:pipes@FILE              the photos that FILE names, one a line
  eth3d:training@DIR            those of DIR/SCENE.txt for each scene"""
STAGED = CACHE / "staged"


@dataclass(frozen=True, slots=True)
class PhotoSet:
    """One collection of photos."""

    name: str
    photos: Path
    truth: Path | None
    """`gt.json`, or else `reference.json`, another program's result that shows gross errors only."""

    @property
    def truth_is_measured(self) -> bool:
        """Whether the truth is ground truth."""
        return self.truth is not None and self.truth.name == "gt.json"

    def content_key(self) -> str:
        """Hash of names and bytes of all its files."""
        return files_key(self.photos, sorted(path for path in self.photos.rglob("*") if path.is_file()))


def find_set(name: str, data: Path, *, datasets: Path = DEFAULT_ROOT, staged: Path = STAGED) -> PhotoSet:
    """The set of this name: of a benchmark, under `data`, or at this path.

    Args:
        name: `DATASET:SCENE[@SUBSET]`, or a folder with `images/` or of photos.
        data: folder of such folders.
        datasets: folder of benchmarks' datasets.
        staged: where a benchmark's scene becomes a folder with `images/`, of links.

    Raises:
        FileNotFoundError: there is no such folder.
        InputError: the benchmark's scene is not there or malformed.
    """
    if _is_benchmark(name):
        return _staged_set(load_scene(name, datasets), staged)
    return _folder_set(name, data)


def find_sets(names: Sequence[str], options: argparse.Namespace) -> list[PhotoSet]:
    """`find_set` of each name for a command, which ends with a message where one cannot be used.

    `DATASET:GROUP[@SUBSET]` are all scenes of a group (`training`, …, or `all`). What is named twice is there
    once; other photos under the name of a set that is there already are refused.
    The photos of each benchmark's scene are listed beside `options.out`, for others to use the same ones.
    """
    try:
        return list(_distinct_sets(names, options))
    except SfmError as error:
        raise SystemExit(f"error: {one_line(error)}") from None
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from None


def set_name(dataset: str, scene: str, subset: str = "") -> str:
    """The name of a benchmark's scene among sets, which is one of a folder: `tanks_and_temples-Barn@50`."""
    return re.sub(r"[^\w.@-]+", "-", scene_name(dataset, scene, subset))


def _is_benchmark(name: str) -> bool:
    return name.partition(":")[0] in DATASETS


def _staged_set(scene: BenchmarkScene, staged: Path) -> PhotoSet:
    folder = stage(scene, staged / set_name(scene.dataset, scene.scene, scene.subset))
    return _folder_set(str(folder), staged)


def _folder_set(name: str, data: Path) -> PhotoSet:
    folder = next((path for path in (data / name, Path(name)) if path.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"no photo set {name!r}: neither {data / name} nor {name} is a folder")
    folder = folder.resolve()
    photos = folder / "images" if (folder / "images").is_dir() else folder
    truth = next((folder / f for f in ("gt.json", "reference.json") if (folder / f).is_file()), None)
    return PhotoSet(folder.name, photos, truth)


def _distinct_sets(names: Sequence[str], options: argparse.Namespace) -> Iterator[PhotoSet]:
    """Each set once, staged only when its name is known to be free: staging takes away other photos."""
    taken: dict[str, tuple[str, object]] = {}
    for name in chain.from_iterable(scene_names(asked, options.datasets) for asked in names):
        benchmark = _is_benchmark(name)
        found = load_scene(name, options.datasets) if benchmark else _folder_set(name, options.data)
        label, photos = _identity(found)
        if label not in taken:
            taken[label] = (name, photos)
            _need_photos(found)
            yield found if isinstance(found, PhotoSet) else _staged_and_listed(found, options)
        elif taken[label][1] != photos:
            raise InputError(
                f"{taken[label][0]} and {name} are different photos under one name, {label}",
                hint="rename a folder, or measure them in two runs with results of their own",
            )


def _need_photos(found: BenchmarkScene | PhotoSet) -> None:
    """Refuse a folder without photos; whether they can be read is for the engines to say."""
    if isinstance(found, PhotoSet) and not discover(found.photos).files:
        raise InputError(f"{found.photos} holds no photos", hint="put them there, or in a folder images/")


def _identity(found: BenchmarkScene | PhotoSet) -> tuple[str, object]:
    """The name that results will have, and which photos they will be of."""
    if isinstance(found, PhotoSet):
        return found.name, found.photos
    return set_name(found.dataset, found.scene, found.subset), (found.photos, found.names)


def _staged_and_listed(scene: BenchmarkScene, options: argparse.Namespace) -> PhotoSet:
    made = _staged_set(scene, options.cache / "staged")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        chosen = made.photos.parent / "photos.txt"
        (options.out.parent / f"{made.name}-photos.txt").write_bytes(chosen.read_bytes())
    return made


def files_key(root: Path, files: Iterable[Path]) -> str:
    """Hash of the relative names and the bytes of files."""
    total = hashlib.sha256()
    for file in files:
        total.update(str(file.relative_to(root)).encode(errors="surrogateescape") + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


def set_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of a program on sets: which, where they are, threads, options and the result.

    `{sets}` in the description becomes what there is to say of sets.
    """
    parser = program((description or "").replace("{sets}", SETS_HELP))
    parser.add_argument(
        "sets", nargs="*", metavar="SET", help="folder in --data, path, or DATASET:SCENE_OR_GROUP[@SUBSET]"
    )
    add_shared_options(parser)
    return parser


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Where photos and results are, threads, and overrides of our configuration."""
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR", help="folder of photo sets (default: %(default)s)"
    )
    parser.add_argument(
        "--datasets",
        type=Path,
        default=DEFAULT_ROOT,
        metavar="DIR",
        help="folder of benchmarks' datasets (default: $LOOPSFM_DATASETS, or else ~/datasets: %(default)s)",
    )
    parser.add_argument(
        "--cache",
        type=folder_to_write,
        default=str(CACHE),
        metavar="DIR",
        help="where results are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--threads",
        type=count,
        default=os.cpu_count() or 1,
        metavar="N",
        help="of each process (default: %(default)s)",
    )
    add_overrides(parser)
    parser.add_argument(
        "--out",
        type=file_to_write,
        metavar="FILE",
        help="JSON file with rows, medians and what is said of them; the photos of each benchmark's scene are"
        " listed beside it, SET-photos.txt",
    )
