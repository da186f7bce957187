"""All files examined, several at a time, and only those that are new or changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

from sfm.ingest.discover import FoundFile
from sfm.ingest.examine import Examined, Shelf, Unusable, examine
from sfm.ingest.manifest import Manifest
from sfm.ingest.memory import MemoryBudget
from sfm.workspace.machine import free_memory
from sfm.workspace.progress import Progress

_SAVE_EVERY = 500
"""Photos after which results are written, so that a killed run keeps them."""


def examine_all(
    files: Sequence[FoundFile], shelf: Shelf, manifest: Manifest, threads: int, progress: Progress
) -> Mapping[str, Examined | Unusable]:
    """The result of examining each file, by its name; files in the manifest are not decoded again.

    Raises:
        OSError: a thumbnail, a copy or the manifest cannot be written.
    """
    results = {file.name: known for file in files if (known := manifest.photo(file)) is not None}
    todo = [file for file in files if file.name not in results]
    try:
        with progress.task("ingest", len(files), unit="photos") as task:
            task.advance(len(results))
            for file, result in _examined(todo, shelf, threads):
                results[file.name] = result
                manifest.set_photo(file, result)
                task.advance()
                if len(results) % _SAVE_EVERY == 0:
                    manifest.save()
    finally:
        # Also after Ctrl-C or on a full disk: what was decoded need not be decoded again.
        if todo:
            manifest.save()
    return results


def _examined(
    files: Sequence[FoundFile], shelf: Shelf, threads: int
) -> Iterator[tuple[FoundFile, Examined | Unusable]]:
    """Results as they come; few files are handed out ahead, so that Ctrl-C needs to wait for few."""
    budget = MemoryBudget(free_memory() // 2)
    waiting = iter(files)
    with ThreadPoolExecutor(max_workers=threads) as pool:

        def start(file: FoundFile) -> Future[Examined | Unusable]:
            return pool.submit(examine, file, shelf, budget)

        running = {start(file): file for file in islice(waiting, 2 * threads)}
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
            running.update((start(file), file) for file in islice(waiting, len(done)))
