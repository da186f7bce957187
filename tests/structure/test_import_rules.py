"""Packages import one way round, and each thing that is delicate is done in one place."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.structure.sources import nodes

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"kernels": set(), "retrieval": {"kernels"}, "sfm": {"kernels", "retrieval"}}
"""Each import package, and those of ours that it may import."""
MODULES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"
)
TEMPORARY = {"TemporaryDirectory", "NamedTemporaryFile", "TemporaryFile", "mkdtemp", "mkstemp"}
SOLE_OWNERS = {
    "IncrementalMapper": "sfm/mapping",
    "extract_features": "sfm/matching/sift/colmap_extraction.py",
    "match_image_pairs": "sfm/matching/sift/matching.py",
}
"""Functions and classes of pycolmap that one room alone may call."""


def imported(path: Path) -> Iterator[str]:
    """Top-level packages that a file imports, relative imports as the file's own package."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            own = path.relative_to(ROOT).parts[0]
            yield own if node.level else (node.module or own).split(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way_round(package: str) -> None:
    forbidden = set(PACKAGES) - PACKAGES[package] - {package}

    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / package).rglob("*.py")
        for name in sorted(set(imported(path)) & forbidden)
    ]

    assert wrong == []


def test_nothing_imports_the_command_line() -> None:
    text = {path: path.read_text(encoding="utf-8") for path in MODULES}
    outside = [p for p in MODULES if "cli" not in p.parts and p.name != "__main__.py"]

    assert [p for p in outside if "sfm.cli" in text[p]] == []


@pytest.mark.parametrize(("name", "owner"), SOLE_OWNERS.items())
def test_each_of_colmaps_entry_points_has_one_owner(name: str, owner: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and node.attr == name
    }

    assert users
    assert all(user.startswith(owner) for user in users)


def test_models_are_read_in_one_place_which_checks_them_first() -> None:
    """COLMAP's reader hangs on damaged files; a copy of a model is made by `copy.deepcopy`."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (
            (node.func.attr == "Reconstruction" and (node.args or node.keywords))
            or node.func.attr in ("read_binary", "ReconstructionManager")
        )
    }

    assert readers == {"sfm/colmap/model_files.py"}


def test_pictures_are_opened_in_one_place() -> None:
    """So that limits of size and memory, and what damaged files raise, are the same everywhere."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Attribute)
        and node.attr == "open"
        and isinstance(node.value, ast.Name)
        and node.value.id in ("Image", "PillowImage", "PIL")
    }

    assert users == {"sfm/ingest/decode.py"}


def test_nothing_temporary_lies_in_the_folder_of_the_system() -> None:
    """There, what a killed run leaves would stay."""
    wrong = {
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in TEMPORARY
        and not any(keyword.arg == "dir" for keyword in node.keywords)
    }

    assert wrong == set()


def test_importing_sfm_loads_nothing_heavy() -> None:
    code = "import sys, sfm; print([m for m in ('torch', 'pycolmap', 'faiss', 'scipy') if m in sys.modules])"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert out.stdout.strip() == "[]"


def test_every_public_name_can_be_loaded() -> None:
    import sfm

    assert all(callable(getattr(sfm, name)) for name in sfm.__all__), "a module of the same name hides it"
