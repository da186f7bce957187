"""Every fixture of a folder laid out like the parity fixtures, against our code.

    python tools/bench parity.compare DIR [--only network ...] [--device cuda] [--json]

Configurations, sizes and seeds are read from the files. One line a comparison: whether it passed, and the
largest absolute difference; then a line a kind. Exits with 1 on any failure, or where no fixture was found,
and with 3 where there is no such device.
The full-size network needs 3 GB of memory, 6 GB where it is also compared in float64.
"""

import argparse
import importlib
import inspect
import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from harness.arguments import NO_DEVICE, missing_device

from parity.case import Case


def kinds() -> list[str]:
    """Names of the modules with cases; others are helpers, or programs of their own."""
    here = Path(__file__).parent
    return sorted(path.stem for path in here.glob("*.py") if "\ndef cases(" in path.read_text("utf-8"))


def run(kind: str, folder: Path, device: str) -> Iterator[Case]:
    """Cases of one kind; an exception becomes a failed case, so that the other kinds still run."""
    # Float32 means float32: TF32 differs by 1e-3.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        find = importlib.import_module(f"parity.{kind}").cases
        on_device = {"device": device} if "device" in inspect.signature(find).parameters else {}
        yield from find(folder, **on_device)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        yield Case(f"stopped by {reason}", math.inf, math.inf, 0.0)


def main() -> int:
    """Run, print, and tell by the exit code."""
    parser = argparse.ArgumentParser(description="Parity with stored fixtures.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=kinds(), default=kinds(), metavar="KIND")
    parser.add_argument("--device", default="cpu", help="for the network and the kernels")
    parser.add_argument("--json", action="store_true", help="one JSON object in the end, nothing else")
    arguments = parser.parse_args()
    if missing := missing_device(arguments.device):
        print(f"parity: {missing}; nothing was compared", file=sys.stderr)
        return NO_DEVICE
    rows: list[dict[str, object]] = []
    summaries: dict[str, dict[str, object]] = {}
    for kind in arguments.only:
        start, found = time.monotonic(), []
        for case in run(kind, arguments.folder, arguments.device):
            found.append(case)
            rows.append({"kind": kind, "name": case.name, **_figures(case)})
            if not arguments.json:
                print(f"{_verdict(case)} {kind}: {case.name}: {case.error:.3g}", flush=True)
        if found:
            summaries[kind] = _summary(found, time.monotonic() - start)
    passed = bool(rows) and all(row["passed"] for row in rows)
    if arguments.json:
        print(json.dumps({"passed": passed, "kinds": summaries, "cases": rows}))
    for kind, summary in summaries.items():
        if not arguments.json:
            print(f"{kind}: {summary}")
    if not rows:
        print(f"error: no fixtures of {', '.join(arguments.only)} in {arguments.folder}", file=sys.stderr)
    return 0 if passed else 1


def _figures(case: Case) -> dict[str, object]:
    return {"error": _number(case.error), "atol": case.atol, "passed": case.passed}


def _summary(found: list[Case], seconds: float) -> dict[str, object]:
    worst = max(found, key=lambda case: (math.isnan(case.error), case.error))
    return {
        "cases": len(found),
        "failed": sum(not case.passed for case in found),
        "largest_error": _number(worst.error),
        "of": worst.name,
        "seconds": round(seconds, 1),
    }


def _number(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None


def _verdict(case: Case) -> str:
    return "ok  " if case.passed else "FAIL"


if __name__ == "__main__":
    sys.exit(main())
