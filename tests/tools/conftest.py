"""The tools are scripts: their folders are put on the path as Python does when it runs one."""

import sys
from pathlib import Path

_TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path[:0] = [path for path in (str(_TOOLS), str(_TOOLS / "bench")) if path not in sys.path]
