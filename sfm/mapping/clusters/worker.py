"""A process that maps one cluster: `python -m sfm.mapping.clusters.worker FOLDER`.

It writes each registered image on a line of its output. It ends when its input closes, since then the parent
process is gone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from sfm.files.scratch import scratch_below
from sfm.workspace.native_log import native_log

from .task import map_task


def main() -> None:
    """Map the cluster in the folder that the command line names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's reaches us, too; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder = Path(sys.argv[1])
    with native_log(), scratch_below(folder):
        map_task(folder, _tell)


def _tell(name: str) -> None:
    # surrogates, in names of files that are not UTF-8, stay escaped
    print(json.dumps(name), flush=True)


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
