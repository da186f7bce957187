"""Names from outside become paths through one door, and COLMAP is given them in known places alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.structure.sources import nodes

ROOT = Path(__file__).resolve().parents[2]
DOOR = "sfm/untrusted/names.py"
FILES = sorted(path for package in ("kernels", "retrieval", "sfm") for path in (ROOT / package).rglob("*.py"))

FOREIGN = {"name", "names", "source_name", "file_name", "link", "member", "filename", "image_name", "prefix"}
"""What variables and attributes are called that hold a name that somebody else may have chosen."""
JOINING = {"join", "joinpath"}
PATHS = {"Path", "PurePath", "PurePosixPath"}
OWN = {"official"}
"""Objects of the code itself, whose names nobody else chooses: the official weights."""
UNPACKING = {"extract", "extractall", "unpack_archive"}

ALLOWED = {
    # Names that the code itself lists or makes.
    ("sfm/config/presets.py", "_folder() / f'{name}.yaml'"): "one of the presets in the package",
    ("sfm/exports/models.py", "sparse / str(index) / name"): "the notes of a stage",
    ("sfm/exports/models.py", "folder / name"): "COLMAP's own file names",
    ("sfm/colmap/model_files.py", "folder / f'{name}.{form}'"): "COLMAP's own file names",
    ("sfm/colmap/model_checks.py", "folder / f'{name}.{form}'"): "COLMAP's own file names",
    ("sfm/colmap/model_checks.py", "folder / f'{name}.{likelier}'"): "COLMAP's own file names",
    ("sfm/workspace/machine.py", "place / name"): "the system's own file names",
    ("sfm/reference/workspace.py", "source / name"): "parts of the cache",
    ("sfm/reference/workspace.py", "target / name"): "parts of the cache",
    ("sfm/loop/kept_rounds.py", "self._round(number) / name"): "results of a round",
    # Names of files that are there.
    (
        "sfm/pairs/query_files.py",
        "folder / link",
    ): "the last part of the path that the user gave, or query.jpg",
    ("sfm/pairs/query_files.py", "Path(f'{number:06d}') / link"): "likewise",
    ("sfm/ingest/place.py", "Path(parent, name)"): "listed by os.walk",
    ("sfm/exports/ownership.py", "here / name"): "listed by os.walk",
    ("sfm/ingest/discover.py", "folder / name"): "listed by os.listdir",
    ("sfm/ingest/masks.py", "Path(place, name)"): "listed by os.walk",
    ("sfm/files/scratch.py", "Path(parent, name)"): "listed by os.walk",
    # Read back from the engine's own cache, and only to be read.
    ("retrieval/index_file.py", "folder / name"): "a segment of the index, checked as it is loaded",
}


def test_no_other_place_makes_a_path_of_a_name() -> None:
    found = {(file, text) for file, text in _joined() if file != DOOR and (file, text) not in ALLOWED}

    assert sorted(found) == [], "use path_below or place_below of sfm.untrusted.names"


def test_what_is_allowed_still_exists() -> None:
    assert sorted(ALLOWED.keys() - set(_joined())) == []


def test_nothing_unpacks_an_archive_to_where_its_members_say() -> None:
    calls = [
        (path.relative_to(ROOT).as_posix(), ast.unparse(node))
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.Call) and _called(node) in UNPACKING
    ]

    assert calls == []


def test_the_walk_sees_each_way_to_join_a_name() -> None:
    ways = [
        "root / name",
        "root / f'{image.name}.png'",
        "root.joinpath('a', name)",
        "os.path.join(root, name)",
    ]
    ways += ["root / Path(name)", "Path(root, name)"]

    assert all(list(_joins(ast.parse(text))) == [text] for text in ways)


def _joined() -> Iterator[tuple[str, str]]:
    for path in FILES:
        for text in _joins(ast.parse(path.read_text(encoding="utf-8"))):
            yield path.relative_to(ROOT).as_posix(), text


def _joins(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _is_foreign(node.right):
            yield ast.unparse(node)
        if isinstance(node, ast.Call) and any(map(_is_foreign, node.args)) and _makes_a_path(node):
            yield ast.unparse(node)


def _makes_a_path(node: ast.Call) -> bool:
    on_text = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Constant)
    return (_called(node) in JOINING and not on_text) or (_called(node) in PATHS and len(node.args) > 1)


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _is_foreign(node: ast.expr) -> bool:
    """Whether an expression is such a name, or text made of one."""
    match node:
        case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner)) if owner in OWN:
            return False
        case ast.Name(id=word) | ast.Attribute(attr=word):
            return word in FOREIGN
        case ast.Call() if _called(node) in PATHS:
            return any(map(_is_foreign, node.args))
        case ast.JoinedStr(values=parts):
            return any(isinstance(part, ast.FormattedValue) and _is_foreign(part.value) for part in parts)
    return False
