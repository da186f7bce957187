"""Where the benches and their photos lie, and where results are kept."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent.parent
DATA = ROOT.parent / "shared" / "data"
CACHE = Path.home() / ".cache" / "loopsfm-bench"
