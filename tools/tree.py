"""The rooms of the code and the files in each, with the first line of each docstring.

python tools/tree.py              # kernels, retrieval and sfm
python tools/tree.py sfm/loop     # one room and those in it
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("kernels", "retrieval", "sfm")


def rooms(packages: tuple[str, ...] = PACKAGES) -> list[str]:
    """Folders of code below some, these included, as paths from the repository's root."""
    files = (path for package in packages for path in (ROOT / package).rglob("__init__.py"))
    return sorted(path.parent.relative_to(ROOT).as_posix() for path in files)


def first_line(path: Path) -> str:
    """What a file's docstring says first."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


def tree(folders: tuple[str, ...]) -> Iterator[str]:
    """The lines of the tree."""
    for room in rooms(folders):
        yield f"{room + '/':30} {first_line(ROOT / room / '__init__.py')}"
        for path in sorted((ROOT / room).glob("[!_]*.py")):
            yield f"  {path.name:28} {first_line(path)}"


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", default=PACKAGES, help="rooms; all where none is named")
    folders = tuple(Path(folder).as_posix() for folder in parser.parse_args().folders)
    if unknown := set(folders) - set(rooms()):
        parser.error(f"no room: {', '.join(sorted(unknown))}; there are {', '.join(rooms())}")
    print("\n".join(tree(folders)))


if __name__ == "__main__":
    main()
