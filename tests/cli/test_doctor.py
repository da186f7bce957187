"""`sfm doctor` says what is there, and what a missing thing costs."""

import importlib.machinery
import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from kernels.dispatch import has_numba
from sfm.cli import main
from sfm.pipelines.doctor import Diagnosis, Row, State, doctor


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    return doctor()


def row(diagnosis: Diagnosis, name: str) -> Row:
    (found,) = [row for row in diagnosis.rows if row.name == name]
    return found


def test_this_installation_is_healthy(diagnosis: Diagnosis) -> None:
    assert diagnosis.is_healthy
    assert row(diagnosis, "import kernels").found == "ours"
    assert row(diagnosis, "pycolmap").found.startswith("4.")


def test_every_dependency_is_looked_at(diagnosis: Diagnosis) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    dependencies = {re.split(r"[<>=]", one)[0].lower() for one in project["dependencies"]}

    assert dependencies <= {row.name.lower() for row in diagnosis.rows}


def test_what_is_not_there_says_its_cost(diagnosis: Diagnosis) -> None:
    notes = [row for row in diagnosis.rows if row.state is State.NOTE]

    assert all(row.cost and row.remedy for row in notes if row.name != "torch device")


def test_text_and_json_have_all_rows(diagnosis: Diagnosis) -> None:
    text = diagnosis.as_text()

    assert all(row.name in text for row in diagnosis.rows)
    assert len(json.loads(json.dumps(diagnosis.to_dict()))["rows"]) == len(diagnosis.rows)


def hide(name: str, replacement: importlib.machinery.ModuleSpec | None, patch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    patch.setattr(importlib.util, "find_spec", lambda n, *a: replacement if n == name else find(n, *a))


def test_another_package_named_kernels_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = importlib.machinery.ModuleSpec("kernels", None, origin=str(tmp_path / "kernels" / "__init__.py"))
    hide("kernels", other, monkeypatch)

    diagnosis = doctor()

    assert not diagnosis.is_healthy
    assert row(diagnosis, "import kernels").found.startswith("another package: ")


def test_a_missing_required_package_ends_with_4(monkeypatch: pytest.MonkeyPatch) -> None:
    hide("networkx", None, monkeypatch)

    done = CliRunner().invoke(main, ["doctor"])

    assert done.exit_code == 4
    assert "pip install networkx" in done.stdout
    assert "sfm run will not work: networkx" in done.stderr


def test_retrieval_without_numba_is_slower_and_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    has_numba.cache_clear()

    diagnosis = doctor()

    assert diagnosis.is_healthy
    assert row(diagnosis, "numba").state is State.NOTE
    assert "slower" in row(diagnosis, "numba").cost
    monkeypatch.undo()
    has_numba.cache_clear()
    assert row(doctor(), "numba").state is State.OK


def test_a_missing_extra_is_only_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    hide("asmk", None, monkeypatch)

    diagnosis = doctor()

    assert diagnosis.is_healthy
    assert row(diagnosis, "asmk").remedy == "pip install asmk==0.1.1"
