"""What is made to be shared names no folder of the user's machine: `…/photos` instead of `/home/me/photos`.

The paths themselves are kept in the cache, beside which `run.json` is accepted back as a configuration.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sfm.config.loading import PATH_OPTIONS, PATHS_FILE
from sfm.config.options import flat_values
from sfm.config.printing import config_as_dict
from sfm.config.schema import Config
from sfm.files.atomic import atomic_write_bytes, atomic_write_json, json_default
from sfm.workspace.workspace import Workspace

_BEFORE = r"""(?<![^\s"'(=:,;\[<>|])"""
"""Paths begin a word: what looks like one within a name is part of it."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the records of a run are written for everybody's eyes."""

    workspace: Workspace
    config: Config

    def write_json(self, path: Path, value: object) -> None:
        """Write `value` as indented JSON without the folders of this machine, atomically."""
        text = json.dumps(value, indent=2, default=_json_default, ensure_ascii=False)
        atomic_write_bytes(path, self._cut(text).encode("utf-8", errors="surrogateescape"))

    def write_record(self, record: object) -> None:
        """Write `OUT/run.json`, and in the cache the paths that are cut in it."""
        atomic_write_json(self.workspace.cache / PATHS_FILE, _paths(self.config))
        self.write_json(self.workspace.run_json, record)

    def publish_events(self) -> None:
        """Put the events of this run in the place of the last finished run's, `OUT/events.jsonl`."""
        text = self.workspace.events_path.read_text(encoding="utf-8", errors="surrogateescape")
        data = self._cut(text).encode("utf-8", errors="surrogateescape")
        atomic_write_bytes(self.workspace.root / "events.jsonl", data)

    def _cut(self, text: str) -> str:
        space = self.workspace
        return without_folders(text, [space.root, space.source, *map(Path, _paths(self.config).values())])


def without_folders(text: str, paths: Iterable[Path]) -> str:
    """JSON text in which absolute paths to where one of `paths` lies, or into the home, begin with `…`
    instead."""
    folders = {form.parent for path in (*paths, Path.home() / "any") for form in (path, path.resolve())}
    spelt = [json.dumps(str(folder), ensure_ascii=False)[1:-1] for folder in folders if folder.name]
    if not spelt:
        return text
    longest_first = "|".join(map(re.escape, sorted(spelt, key=len, reverse=True)))
    return re.sub(rf"{_BEFORE}(?:{longest_first})(?=/|$|[^\w.-])", "…", text)


def _json_default(value: object) -> object:
    return config_as_dict(value) if isinstance(value, Config) else json_default(value)


def _paths(config: Config) -> Mapping[str, str]:
    values = flat_values(config)
    return {name: str(values[name]) for name in sorted(PATH_OPTIONS) if values[name] is not None}
