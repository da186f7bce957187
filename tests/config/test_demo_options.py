"""Options of MASt3R-SfM's demo: each is named with ours in its place, and README says the same."""

import re
from pathlib import Path

import pytest

from sfm.config.demo_options import HERE, NOT_HERE
from sfm.config.loading import load_config
from sfm.config.options import internal_tree, schema_tree
from sfm.errors import ConfigError

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FORMS = {"seqD", "cycD"}
"""Of the demo's prefilter, which is in the name of a graph, not an option."""


def table() -> list[tuple[str, str]]:
    """Rows of README's table, without the header."""
    part = README.partition("## Coming from MASt3R-SfM")[2].partition("Not built:")[0]
    rows = [line.strip("|").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [(there, here) for there, here in rows[1:]]


@pytest.mark.parametrize("name", [*HERE, *NOT_HERE])
@pytest.mark.parametrize("section", ["", "images.", "retrieval."])
def test_an_option_of_the_demo_is_told_of(section: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as typed:
        load_config(overrides=[f"{section}{name}=1"])
    file = tmp_path / "own.yaml"
    file.write_text(f"{name}: 1\n")
    with pytest.raises(ConfigError) as written:
        load_config(file)

    for caught in (typed, written):
        assert {**HERE, **NOT_HERE}[name] in str(caught.value)
        assert "is an option of MASt3R-SfM's demo" in str(caught.value)


def test_what_is_named_exists() -> None:
    from sfm.cli.results import export_command

    options = {option.name for tree in (schema_tree(), internal_tree()) for option in tree.options()}
    flags = {name for parameter in export_command.params for name in parameter.opts}
    for said in [*HERE.values(), *NOT_HERE.values()]:
        named = re.findall(r"(?:internal\.)?(?:alignment|retrieval|images|mast3r)\.\w+", said)
        assert set(named) <= options, said
        assert {flag for flag in re.findall(r"--[\w-]+", said)} <= flags, said


def test_readme_has_the_same_options() -> None:
    there = {name for left, _ in table() for name in re.findall(r"`(\w+)`", left)} - FORMS
    not_built = README.partition("Not built:")[2].partition("## Limits")[0]
    there |= set(re.findall(r"`(\w+)`", not_built))

    assert there == HERE.keys() | NOT_HERE.keys()
