"""LoopSfM: unordered photos in, a COLMAP sparse model out.

Everything a user calls is listed here and loaded on first use, so that `import sfm` stays quick.
"""

from __future__ import annotations

import importlib
import inspect
import zlib as _zlib  # noqa: F401 - libz must come before pycolmap, whose own copy it would otherwise bind to
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm.alignment import align as align
    from sfm.alignment import merge as merge
    from sfm.config.loading import load_config as load_config
    from sfm.config.schema import Config as Config
    from sfm.diagnosis.explain import explain as explain
    from sfm.errors import ConfigError as ConfigError
    from sfm.errors import InputError as InputError
    from sfm.errors import MissingDependencyError as MissingDependencyError
    from sfm.errors import ReconstructionError as ReconstructionError
    from sfm.errors import SfmError as SfmError
    from sfm.errors import WorkspaceError as WorkspaceError
    from sfm.evaluation import evaluate as evaluate
    from sfm.exports.exporting import export as export
    from sfm.pipelines.doctor import doctor as doctor
    from sfm.pipelines.extend import Extension as Extension
    from sfm.pipelines.extend import extend as extend
    from sfm.pipelines.localize import Localisation as Localisation
    from sfm.pipelines.localize import localize as localize
    from sfm.pipelines.localize_photo import PhotoLocalisation as PhotoLocalisation
    from sfm.pipelines.localize_photo import localize_photo as localize_photo
    from sfm.pipelines.map_database import map_database as map_database
    from sfm.pipelines.run import match as match
    from sfm.pipelines.run import retrieve as retrieve
    from sfm.pipelines.run import run as run
    from sfm.pipelines.search import search as search
    from sfm.report.graphs import graph as graph
    from sfm.report.result import Result as Result

_WHERE = {
    "Config": ("sfm.config.schema", "Config"),
    "ConfigError": ("sfm.errors", "ConfigError"),
    "Extension": ("sfm.pipelines.extend", "Extension"),
    "InputError": ("sfm.errors", "InputError"),
    "Localisation": ("sfm.pipelines.localize", "Localisation"),
    "MissingDependencyError": ("sfm.errors", "MissingDependencyError"),
    "PhotoLocalisation": ("sfm.pipelines.localize_photo", "PhotoLocalisation"),
    "ReconstructionError": ("sfm.errors", "ReconstructionError"),
    "Result": ("sfm.report.result", "Result"),
    "SfmError": ("sfm.errors", "SfmError"),
    "WorkspaceError": ("sfm.errors", "WorkspaceError"),
    "align": ("sfm.alignment", "align"),
    "doctor": ("sfm.pipelines.doctor", "doctor"),
    "evaluate": ("sfm.evaluation", "evaluate"),
    "explain": ("sfm.diagnosis.explain", "explain"),
    "export": ("sfm.exports.exporting", "export"),
    "extend": ("sfm.pipelines.extend", "extend"),
    "graph": ("sfm.report.graphs", "graph"),
    "load_config": ("sfm.config.loading", "load_config"),
    "localize": ("sfm.pipelines.localize", "localize"),
    "localize_photo": ("sfm.pipelines.localize_photo", "localize_photo"),
    "map_database": ("sfm.pipelines.map_database", "map_database"),
    "match": ("sfm.pipelines.run", "match"),
    "merge": ("sfm.alignment", "merge"),
    "retrieve": ("sfm.pipelines.run", "retrieve"),
    "run": ("sfm.pipelines.run", "run"),
    "search": ("sfm.pipelines.search", "search"),
}

_LIGHT = frozenset({"doctor", "explain", "load_config"})
"""Functions that call nothing of COLMAP's, whose log the others silence."""

__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'sfm' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    found = getattr(importlib.import_module(module), attribute)
    if inspect.isfunction(found) and name not in _LIGHT:
        from sfm.workspace.native_log import native_log

        found = native_log()(found)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
