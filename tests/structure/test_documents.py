"""What the documents name is there: rooms on their floors, files, commands of our own, links."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from sfm.cli import main
from sfm.config.options import schema_tree
from sfm.exports.formats import FORMATS
from sfm.pairs import history
from tests.structure.test_floors import HOUSE, MAPPING, ROOT

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "tools/bench/README.md"]
    if path.name != "CHANGELOG.md"
)
_OURS = re.compile(r"(?<![\w/.-])(?:sfm|retrieval|kernels|tools|tests|configs|docs|data)/[\w./-]*[\w/]")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)[^)]*\)")
_ROOM = re.compile(r"^\| (\d+) \| `([\w/]+)` \|", re.MULTILINE)


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_that_a_document_names_exists(document: str) -> None:
    ours = {ROOT / path for path in _OURS.findall(text(document))}
    linked = {(ROOT / document).parent / path for path in _LINK.findall(text(document))}

    assert sorted(str(path) for path in ours | linked if not path.exists()) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_that_a_document_sets_exists(document: str) -> None:
    options = {option.name for option in schema_tree().options()}
    sections = "|".join({name.partition(".")[0] for name in options if "." in name} | {"aliked"})
    told = re.sub(r"`\S+` is now", "", text(document))

    named = set(re.findall(rf"(?<![\w/.-])(?:{sections})\.(?!json|md\b)[a-z]\w+", told))

    assert sorted(named - options) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_a_document_shows_exists(document: str) -> None:
    assert isinstance(main, click.Group)
    for words in re.findall(r"^(?:    |\| `)sfm ([a-z][^#\n|`]*)", text(document), flags=re.MULTILINE):
        command = main.commands[words.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", words)) <= known | {"--help"}, words


def test_every_format_of_export_is_told() -> None:
    *names, last = (f"`{name}`" for name in FORMATS)

    assert f"# or: {' '.join(FORMATS)}\n" in text("README.md")
    assert f"| {', '.join(names)} or {last};" in text("docs/cli.md")


def test_every_place_where_images_leave_a_model_is_told() -> None:
    leaving = re.compile(r"\.(?:deregister_frame|filter_frames)\(")
    places = [path for path in (ROOT / "sfm").rglob("*.py") if leaving.search(path.read_text())]

    told = text("ARCHITECTURE.md")
    assert [path for path in places if f"`{path.relative_to(ROOT).as_posix()}`" not in told] == []


def test_every_event_that_is_indexed_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", text("docs/cli.md")))

    assert sorted(history._READERS.keys() - told) == []


def test_the_changelog_begins_with_the_version() -> None:
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]

    assert text("CHANGELOG.md").partition("\n## [")[2].startswith(f"{version.partition('.dev')[0]}]")


@pytest.mark.parametrize(("prefix", "floors"), [("sfm/", HOUSE), ("sfm/mapping/", MAPPING)])
def test_the_architecture_names_every_room_on_its_floor(prefix: str, floors: tuple[str, ...]) -> None:
    place = ROOT / prefix
    within = [path.name for path in place.iterdir() if (path / "__init__.py").is_file()]
    packages = {"kernels": "kernels", "retrieval": "retrieval"} if prefix == "sfm/" else {}
    names = {f"{prefix}{name}": name for name in within} | packages
    there = {
        path: level + 1
        for level, rooms in enumerate(floors)
        for path, name in names.items()
        if name in rooms.split()
    }
    told = {
        path: int(floor)
        for floor, path in _ROOM.findall(text("ARCHITECTURE.md"))
        if path in packages or Path(path).parent == Path(prefix)
    }

    assert told == there


def test_the_tree_lists_every_file_with_its_first_line() -> None:
    out = subprocess.run(
        [sys.executable, "tools/tree.py", "sfm/loop", "kernels"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.splitlines()

    names = {path.name for room in ("sfm/loop", "kernels") for path in (ROOT / room).glob("*.py")} - {
        "__init__.py"
    }
    assert {line.split()[0] for line in out if line.startswith("  ")} == names
    assert all(len(line.split()) > 1 for line in out)
