"""Each room imports rooms on floors below its own, so that there are no import circles."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.sources import nodes

ROOT = Path(__file__).resolve().parents[2]

HOUSE = (
    "kernels errors types",
    "retrieval files untrusted",
    "config",
    "workspace",
    "colmap mast3r",
    "geometry mapping",
    "evaluation georeferencing global_alignment ingest",
    "matching",
    "exports pairs",
    "alignment diagnosis loop",
    "report",
    "stages",
    "reference",
    "pipelines",
    "__init__",
    "cli",
    "__main__",
)
"""The rooms of the product from the ground up: import packages, and folders and files of `sfm`."""
MAPPING = (
    "scene",
    "measures pair_consistency",
    "cameras pose_consistency",
    "depth",
    "growing",
    "edits",
    "clusters refinement",
    "problem",
    "evidence_of_models",
    "registrar",
    "__init__",
)
"""Those of `sfm/mapping`."""
PLACES = [("sfm", HOUSE), ("sfm/mapping", MAPPING)]


def modules(place: str) -> Iterator[Path]:
    """Source files of a place; of the whole house where it is `sfm`."""
    for folder in ("kernels", "retrieval", "sfm") if place == "sfm" else (place,):
        yield from sorted((ROOT / folder).rglob("*.py"))


def room(module: Path, place: str) -> str:
    """The room of a source file, or of a module that has the same path without its suffix."""
    path = module.relative_to(ROOT).with_suffix("")
    return path.relative_to(place).parts[0] if path.is_relative_to(place) else path.parts[0]


def imported(path: Path) -> Iterator[Path]:
    """Paths without suffix of the modules of ours that a file imports, or of names in them."""
    package = path.parent
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (ROOT.joinpath(*name) for name in names)
        elif isinstance(node, ast.ImportFrom):
            above = [package, *package.parents][node.level - 1] if node.level else ROOT
            base = above.joinpath(*(node.module or "").split(".")) if node.module else above
            yield from (base / alias.name for alias in node.names)


@pytest.mark.parametrize(("place", "floors"), PLACES, ids=[place for place, _ in PLACES])
def test_imports_go_down(place: str, floors: tuple[str, ...]) -> None:
    floor = {name: level for level, names in enumerate(floors) for name in names.split()}
    wrong = set()
    for path in modules(place):
        own = room(path, place)
        for module in imported(path):
            inside = module.is_relative_to(ROOT / place) and module != ROOT / place
            if not inside and not (place == "sfm" and module.relative_to(ROOT).parts[0] in floor):
                continue
            other = room(module, place)
            other = other if other in floor else "__init__"
            if other != own and floor[other] >= floor[own]:
                wrong.add(f"{path.relative_to(ROOT)} imports {module.relative_to(ROOT)}")

    assert {room(path, place) for path in modules(place)} == floor.keys()
    assert sorted(wrong) == []


def test_the_folder_of_the_product_holds_few_files() -> None:
    assert len(list((ROOT / "sfm").glob("*.py"))) <= 6
