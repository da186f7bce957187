"""Feed every reader with damaged files for a time: `python -m tests.faults.fuzz --seconds 600`.

One case again, with its traceback: `python -m tests.faults.fuzz --reader NAME --seed NUMBER`.
"""

import argparse
import json
import random
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp

from .harness import Bench, Outcome, fuzz
from .readers import READERS


def main() -> int:
    """Fuzz, or run one case; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--executions", type=int, default=10**9, help="of each reader, at most")
    parser.add_argument("--reader", choices=READERS, help="this one alone")
    parser.add_argument("--seed", type=int, help="this case alone, in this process")
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(10**9))
    options = parser.parse_args()
    if options.seed is not None:
        bench = Bench(options.reader, Path(mkdtemp()) / "files")
        print(f"damaged: {bench.damage(options.seed)}", flush=True)
        bench.reader.read(bench.folder)
        return 0
    print(f"seeds from {options.first}", flush=True)
    names = [options.reader] if options.reader else list(READERS)
    seeds = range(options.first, options.first + options.executions)
    tally = fuzz(names, seeds, options.seconds, _print)
    record = {
        "executions": sum(tally.counts.values()),
        "outcomes": dict(sorted(tally.counts.items())),
        "failures": [asdict(failure) for failure in tally.failures],
    }
    print(json.dumps(record))
    return 1 if tally.failures else 0


def _print(failure: Outcome) -> None:
    print(f"--reader {failure.reader!r} --seed {failure.seed}: {failure.failure}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
