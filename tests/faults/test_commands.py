"""Commands given damaged files end with one line that says so, and a documented exit code."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sfm.cli import main

from .harness import Bench

DOCUMENTED = range(1, 7)
Command = Callable[[Path, Path], list[str]]
"""Arguments, from the folder with the damaged file and one for output."""

COMMANDS: dict[str, tuple[str, Command]] = {
    "eval a model": ("binary model", lambda f, out: ["eval", str(f), str(f)]),
    "eval a text model": ("text model", lambda f, out: ["eval", str(f), str(f)]),
    "eval by a gt.json": ("ground truth", lambda f, out: ["eval", str(f), str(f)]),
    "align a model": ("binary model", lambda f, out: ["align", str(f), "--to", str(f), "-o", str(out)]),
    "merge models": ("text model", lambda f, out: ["merge", str(f), str(f), "-o", str(out)]),
    "extend a model": (
        "binary model",
        lambda f, out: ["extend", str(f), str(out.parent), "--images", str(f), "-o", str(out)],
    ),
    "localize": (
        "binary model of three files",
        lambda f, out: ["localize", str(f), str(out.parent), "--images", str(f), "-o", str(out)],
    ),
    "map a database": ("database", lambda f, out: ["map", str(f / "theirs.db"), "-o", str(out)]),
    "export a workspace": ("report", lambda f, out: ["export", str(f), "--to", "txt", "-d", str(out)]),
    "explain": ("run record", lambda f, out: ["explain", str(f), "camera000001_frame000000.png"]),
    "explain by events": ("event log", lambda f, out: ["explain", str(f), "camera000001_frame000000.png"]),
    "graph": ("pair records", lambda f, out: ["graph", str(f), "-o", str(out)]),
    "a configuration": (
        "configuration",
        lambda f, out: ["run", str(f), "--config", str(f / "c.yaml"), "-o", str(out)],
    ),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_says_in_a_line_what_is_damaged(case: str, tmp_path: Path) -> None:
    reader, command = COMMANDS[case]
    bench = Bench(reader, tmp_path / "files")
    (tmp_path / "new").mkdir()
    codes = set()
    for seed in range(6):
        bench.damage(seed)

        done = CliRunner().invoke(main, command(bench.folder, tmp_path / "new" / f"out{seed}"))

        assert done.exception is None or isinstance(done.exception, SystemExit), f"seed {seed}: {done.output}"
        assert "Traceback" not in done.output
        assert "No such option" not in done.output
        codes.add(done.exit_code)
        if done.exit_code:
            assert done.exit_code in DOCUMENTED
            assert "error: " in done.output
    assert codes
