"""Every option is used, and printed as it is loaded."""

import ast
import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retrieval.text_form import TextForm
from sfm.config.loading import PATH_OPTIONS, load_config
from sfm.config.options import INTERNAL, Option, from_flat, internal_tree, schema_tree
from sfm.config.presets import preset_names
from sfm.config.printing import config_as_dict, config_as_yaml, config_schema
from sfm.config.schema import COMMON, Config
from sfm.matching.choice import MATCHERS

ROOT = Path(__file__).resolve().parents[2]
LISTS_OPTIONS = ROOT / "tests" / "engine" / "test_loop_key.py"
"""Names options without setting them."""
OPTIONS = (*schema_tree().options(), *internal_tree().options())


def _in_yaml(tree: object, name: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _in_yaml(value, f"{name}.{key}".strip("."))
    else:
        yield name


@pytest.fixture(scope="module")
def used() -> set[str]:
    """Options that presets set, and what tests and benchmarks pass by keyword or name."""
    found = set()
    for path in (ROOT / "configs").glob("*.yaml"):
        found |= set(_in_yaml(yaml.safe_load(path.read_text(encoding="utf-8"))))
    for path in (*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")):
        if path == Path(__file__) or path == LISTS_OPTIONS:
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


def _is_filename(text: str) -> bool:
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


TEXT = st.text(min_size=1, max_size=30).filter(_is_filename)


def _values(option: Option) -> st.SearchStrategy[object]:
    if option.name in PATH_OPTIONS:
        return st.none() | TEXT.map(lambda text: os.path.normpath(os.path.join("/somewhere", text)))
    forms = [note for note in getattr(option.annotation, "__metadata__", ()) if isinstance(note, TextForm)]
    if forms:
        return st.from_regex(forms[0].pattern, fullmatch=True, alphabet=st.characters(codec="ascii"))
    if option.name == "images.camera_params":
        return st.none() | TEXT
    limited = st.from_type(option.annotation)
    return limited.filter(_can_be_written)


def _can_be_written(value: object) -> bool:
    """Values out of this range are refused when a configuration is read."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or value < 2**31


CONFIGS = st.fixed_dictionaries(
    {}, optional={option.name: _values(option) for option in schema_tree().options()}
).map(from_flat)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=CONFIGS, comments=st.booleans())
def test_a_printed_configuration_loads_back(tmp_path: Path, config: Config, comments: bool) -> None:
    path = tmp_path / "printed.yaml"
    path.write_text(config_as_yaml(config, comments=comments), encoding="utf-8", newline="")

    assert load_config(path) == config


@pytest.mark.parametrize(
    "text", ["null", "~", "on", "1e3", "0x1F", "a: b", "# no", " x ", "a\nb", "😀", "1:30"]
)
def test_words_that_yaml_would_take_for_something_else_survive(tmp_path: Path, text: str) -> None:
    config = dataclasses.replace(Config(), images=dataclasses.replace(Config().images, camera_params=text))
    path = tmp_path / "printed.yaml"
    path.write_text(config_as_yaml(config), encoding="utf-8", newline="")

    assert load_config(path) == config


def test_comments_carry_the_documentation_and_the_choices() -> None:
    text = config_as_yaml(Config())

    assert "  # Write report.html.\n  report: true\n" in text
    assert "# export.scene: never\n#     points, mesh: also write scene.glb," in text
    assert "SIMPLE_PINHOLE | PINHOLE |" in text
    assert "#" not in config_as_yaml(Config(), comments=False)


def test_the_json_schema_knows_types_ranges_defaults_and_texts() -> None:
    schema = config_schema()
    sift = schema["properties"]["sift"]

    assert schema["additionalProperties"] is False
    assert sift["properties"]["max_num_features"] == {
        "type": "integer",
        "minimum": 16,
        "default": 8192,
        "description": "Keypoints a photo, largest scale first; "
        "one with two orientations counts once, and is stored twice.",
    }


@pytest.mark.parametrize("preset", preset_names())
def test_the_json_schema_knows_all_that_presets_set(preset: str) -> None:
    def check(value: object, schema: dict[str, Any], where: str) -> None:
        if not isinstance(value, dict) or "properties" not in schema:
            return
        for key, inner in value.items():
            assert key in schema["properties"], f"{where}.{key}"
            check(inner, schema["properties"][key], f"{where}.{key}")

    check(config_as_dict(load_config(preset=preset)), config_schema(), preset)


def test_plain_values_mirror_the_sections() -> None:
    assert config_as_dict(Config())["register"]["max_rounds"] == Config().register.max_rounds


def test_every_backend_that_can_be_named_can_be_opened() -> None:
    (backend,) = (option for option in OPTIONS if option.name == "backend")

    assert {*MATCHERS, "auto"} == set(backend.choices)
