"""Which photos of a scene are reconstructed: all, regularly chosen ones, or those of a list.

- `@all`: every photo
- `@N`: N photos, as the view subsets of MASt3R-SfM's paper (25, 50, 100, 200)
- `@FILE`: those that a text file names, one a line, as for MP-SfM's low-overlap sets
- `@DIR`: the same with a list for each scene, `DIR/SCENE.txt`, so that a group of scenes can be asked for
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from photo_sets.scene import BenchmarkScene
from sfm.errors import InputError
from sfm.evaluation.names import match_names

_SMALLEST = 2
_LABEL_DIGITS = 8


def with_subset(scene: BenchmarkScene, subset: str) -> BenchmarkScene:
    """The scene with the photos that `subset` chooses; "" and "all" leave it as it is.

    Raises:
        InputError: no such subset, or a list names photos that the scene does not have.
    """
    if subset in ("", "all"):
        return scene
    if subset.isdigit() and int(subset) >= _SMALLEST:
        return scene.restricted(regular(scene.names, int(subset)), subset)
    given = Path(subset)
    if given.is_file() or given.is_dir():
        names = _listed(scene, given if given.is_file() else given / f"{scene.scene}.txt")
        return scene.restricted(names, _label(given, names))
    raise InputError(
        f"{scene.name} has no subset {subset!r}",
        hint="all, a number of photos, a file of photo names, one a line,"
        " or a folder with such a file for each scene, SCENE.txt",
    )


def regular(names: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` of the sorted names, those at round(linspace(0, N - 1, count)); all if there are no more."""
    ordered = sorted(names)
    if count >= len(ordered):
        return tuple(ordered)
    places = np.unique(np.round(np.linspace(0, len(ordered) - 1, count)).astype(int))
    return tuple(ordered[place] for place in places)


def _label(given: Path, names: Sequence[str]) -> str:
    """The list's own name and a hash of what it chooses: lists of one name in two places are two subsets."""
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    return f"{given.stem if given.is_file() else given.resolve().name}-{digest[:_LABEL_DIGITS]}"


def _listed(scene: BenchmarkScene, file: Path) -> tuple[str, ...]:
    """Names as the scene has them, or their last part where that is unique."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(
            f"{file} is missing", hint=f"a folder of lists holds one for each scene, {file.name} for this one"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not a readable list of photos: {error}") from error
    wanted = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    matched = match_names(wanted, scene.names)
    if unknown := sorted(wanted - matched.keys()):
        raise InputError(
            f"{file}: {scene.name} has no photo {', '.join(unknown[:3])}",
            hint="for several scenes give a folder with a list for each, SCENE.txt",
        )
    if len(wanted) < _SMALLEST:
        raise InputError(f"{file} names {len(wanted)} photos; {_SMALLEST} or more are needed")
    return tuple(matched.values())
