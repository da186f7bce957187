"""Values of the benches' options, refused before anything is measured."""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sfm.errors import SfmError

NO_DEVICE = 3
"""Exit code of a bench whose device is missing."""


def program(description: str | None) -> argparse.ArgumentParser:
    """The parser of a program, whose help shows the description as it stands."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def one_line(error: SfmError) -> str:
    """An expected error in a line, with its advice."""
    return f"{error}" + (f" ({error.hint})" if error.hint else "")


@contextmanager
def ending_on_errors() -> Iterator[None]:
    """Ends the command with a line where an expected error leaves the block."""
    try:
        yield
    except SfmError as error:
        raise SystemExit(f"error: {one_line(error)}") from error


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """`--option`: changes to our configuration."""
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override of our configuration, as for `sfm run`; several times",
    )


def count(text: str) -> int:
    """A whole number from 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 is needed, found {text!r}")
    return value


def amount(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0 is needed, found {text!r}")
    return value


def chosen_from(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Parses names with commas between them; what is named twice is there once."""

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
        if not all(chosen):
            raise argparse.ArgumentTypeError(f"a name is missing in {text!r}; choose from {', '.join(known)}")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; choose from {', '.join(known)}")
        return chosen

    return parse


def file_to_write(text: str) -> Path:
    """A file that can be written, or replaced: nobody learns after hours that it cannot."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder; name a file, as {path / 'results.json'}")
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{path} is no ordinary file; name another")
    _need_room(path.absolute().parent)
    return path


def folder_to_write(text: str) -> Path:
    """A folder that can be written, or made."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a file; name a folder")
    _need_room(path.absolute())
    return path


def _need_room(folder: Path) -> None:
    """Refuse a folder that cannot be made, or in which nothing can be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{folder} cannot be made: {there} is a file")
    try:  # permissions alone do not tell: not to root, nor of file systems that are full or none
        with tempfile.TemporaryDirectory(dir=there):
            pass
    except OSError as error:
        raise argparse.ArgumentTypeError(f"nothing can be written in {there}: {error.strerror}") from error


def missing_device(name: str) -> str:
    """Why PyTorch cannot compute on the device of that name, in a few words; empty where it can."""
    import torch  # seconds, which most commands need not wait for

    try:
        torch.empty(1, device=torch.device(name))
    # A build without CUDA raises AssertionError.
    except (RuntimeError, AssertionError) as error:
        return f"no device {name} here ({str(error).splitlines()[0]})"
    return ""
