"""No option without a preset, a test or a benchmark that sets it, and not more than fit a reader's mind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sfm.config.options import INTERNAL, Option, internal_tree, schema_tree
from sfm.config.printing import config_as_yaml
from sfm.config.schema import COMMON, Config

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = (*schema_tree().options(), *internal_tree().options())


def _in_yaml(tree: object, name: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _in_yaml(value, f"{name}.{key}".strip("."))
    else:
        yield name


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Options that presets and ablations set, and what tests and benchmarks pass by keyword or name."""
    found = set()
    for folder in ("configs", "tools/bench/ablations"):
        for path in (ROOT / folder).glob("*.yaml"):
            found |= set(_in_yaml(yaml.safe_load(path.read_text(encoding="utf-8"))))
    for path in (*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.keyword(arg=str(leaf)):
                    found.add(leaf)
                case ast.Constant(value=str(text)):
                    found |= {word.partition("=")[0] for word in text.split()}
    return found


def _is_used(option: Option, used: set[str]) -> bool:
    name = option.name.removeprefix(f"{INTERNAL}.")
    return bool({name, option.name, name.rpartition(".")[2]} & used)


def test_there_are_at_most_seventy() -> None:
    assert len(list(schema_tree().options())) <= 70


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_option_is_in_a_preset_a_test_or_a_benchmark(option: Option, used: set[str]) -> None:
    assert _is_used(option, used)


def test_the_common_ones_come_first_and_fit_two_screens() -> None:
    names = [option.name for option in schema_tree().options()]
    first, _, rest = config_as_yaml(Config()).partition("# Less common options")

    assert set(names) >= COMMON
    assert first.count("\n") <= 2 * 60
    assert all(f"# {name}: " in rest for name in names if name not in COMMON)
    assert not any(f"# {name}: " in rest for name in COMMON)
