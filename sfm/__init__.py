"""LoopSfM: unordered photos in, a COLMAP sparse model out.

Everything a user calls is listed here and loaded on first use, so that `import sfm` stays quick.
"""

from __future__ import annotations

import importlib
import zlib as _zlib  # noqa: F401 - libz must come before pycolmap, whose own copy it would otherwise bind to
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfm.alignment import align as align
    from sfm.alignment import merge as merge
    from sfm.checkup import doctor as doctor
    from sfm.config.loading import load_config as load_config
    from sfm.config.schema import Config as Config
    from sfm.database_mapping import map_database as map_database
    from sfm.errors import ConfigError as ConfigError
    from sfm.errors import InputError as InputError
    from sfm.errors import MissingDependencyError as MissingDependencyError
    from sfm.errors import ReconstructionError as ReconstructionError
    from sfm.errors import SfmError as SfmError
    from sfm.errors import WorkspaceError as WorkspaceError
    from sfm.evaluation import evaluate as evaluate
    from sfm.explanation import explain as explain
    from sfm.exports import export as export
    from sfm.extending import Extension as Extension
    from sfm.extending import Localisation as Localisation
    from sfm.extending import extend as extend
    from sfm.extending import localize as localize
    from sfm.graphs import graph as graph
    from sfm.pipeline import match as match
    from sfm.pipeline import retrieve as retrieve
    from sfm.pipeline import run as run
    from sfm.result import Result as Result
    from sfm.searching import search as search

_WHERE = {
    "Config": ("sfm.config.schema", "Config"),
    "ConfigError": ("sfm.errors", "ConfigError"),
    "Extension": ("sfm.extending", "Extension"),
    "InputError": ("sfm.errors", "InputError"),
    "Localisation": ("sfm.extending", "Localisation"),
    "MissingDependencyError": ("sfm.errors", "MissingDependencyError"),
    "ReconstructionError": ("sfm.errors", "ReconstructionError"),
    "Result": ("sfm.result", "Result"),
    "SfmError": ("sfm.errors", "SfmError"),
    "WorkspaceError": ("sfm.errors", "WorkspaceError"),
    "align": ("sfm.alignment", "align"),
    "doctor": ("sfm.checkup", "doctor"),
    "evaluate": ("sfm.evaluation", "evaluate"),
    "explain": ("sfm.explanation", "explain"),
    "export": ("sfm.exports", "export"),
    "extend": ("sfm.extending", "extend"),
    "graph": ("sfm.graphs", "graph"),
    "load_config": ("sfm.config.loading", "load_config"),
    "localize": ("sfm.extending", "localize"),
    "map_database": ("sfm.database_mapping", "map_database"),
    "match": ("sfm.pipeline", "match"),
    "merge": ("sfm.alignment", "merge"),
    "retrieve": ("sfm.pipeline", "retrieve"),
    "run": ("sfm.pipeline", "run"),
    "search": ("sfm.searching", "search"),
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'sfm' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
