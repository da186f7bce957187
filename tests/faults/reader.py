"""What a reader that is fed with damaged files consists of, and a sound model for several."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reader:
    """What writes sound files into a new folder, and what reads them."""

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    damage: tuple[str, ...] = ("*.*",)
    """Patterns of the files that are damaged."""
    slowness: int = 1
    """How much fewer files of it are tried in the time of a test."""
    documented: tuple[type[Exception], ...] = ()
    """Errors that are told apart from those of `sfm.errors` by whoever calls the reader."""


def write_model(folder: Path, *, text: bool = False, old: bool = False) -> None:
    """Write a small COLMAP model; `old` is one without rigs and frames."""
    import pycolmap

    pycolmap.set_random_seed(0)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 2, 2
    options.num_points3D = 4
    model = pycolmap.synthesize_dataset(options)
    folder.mkdir(parents=True)
    if text:
        model.write_text(folder)
    else:
        model.write(folder)
    if old:
        (folder / "rigs.bin").unlink()
        (folder / "frames.bin").unlink()
