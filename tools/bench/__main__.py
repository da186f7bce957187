"""Runs a program of a room, as `python tools/bench parity.compare`; lists all where none is named."""

import ast
import importlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

BENCH = Path(__file__).resolve().parent


def programs() -> Iterator[tuple[str, str]]:
    """Name and first line of each program, those in no room first."""
    for path in [*sorted(BENCH.glob("[a-z]*.py")), *sorted(BENCH.glob("*/[a-z]*.py"))]:
        text = path.read_text(encoding="utf-8")
        if 'if __name__ == "__main__":' in text:
            said = ast.get_docstring(ast.parse(text)) or ""
            yield ".".join(path.relative_to(BENCH).with_suffix("").parts), said.partition("\n")[0]


def main() -> None:
    """Run it with the rest of the words, as Python runs a script."""
    if len(sys.argv) > 1 and sys.argv[1] in dict(programs()):
        importlib.import_module("sfm")  # before pycolmap, as its first import says
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        return
    listed = "\n".join(f"  {name:24} {said}" for name, said in programs())
    raise SystemExit(f"usage: python tools/bench PROGRAM [...]\n{listed}")


if __name__ == "__main__":
    main()
