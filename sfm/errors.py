"""Every error a user can cause, each with its exit code.

SfmError                     one line and a hint, never a traceback      exit 1
├─ ConfigError               bad key, type or value in YAML or on the command line   exit 2
├─ InputError                photos, masks, databases or models that cannot be used  exit 3
├─ MissingDependencyError    an optional package is not installed        exit 4
├─ WeightsError              network weights are missing, damaged, foreign or hostile exit 4
├─ WorkspaceError            OUT is locked, foreign, damaged or not writable         exit 5
├─ ReconstructionError       the photos were read but no model came out  exit 6
└─ UnfinishedError           a model was written, then a later step failed           exit 7

Ctrl-C exits with 130 and leaves a workspace that the next run continues.
"""

from __future__ import annotations


class SfmError(Exception):
    """Base of all expected failures; `str(error)` is the message for the user."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(SfmError):
    """A configuration file or `key=value` override that cannot be accepted."""

    exit_code = 2


class InputError(SfmError):
    """Photos, masks, databases or models that are missing, unreadable or contradictory."""

    exit_code = 3


class MissingDependencyError(SfmError):
    """An optional package that this configuration needs is not installed."""

    exit_code = 4


class WeightsError(SfmError):
    """A file of network weights that is missing, damaged, hostile, or not the one that it should be."""

    exit_code = 4


class WorkspaceError(SfmError):
    """The output folder is in use, belongs to something else, is damaged or cannot be written."""

    exit_code = 5


class ReconstructionError(SfmError):
    """Photos were read and matched, but no model could be built."""

    exit_code = 6


class UnfinishedError(SfmError):
    """Models were built and written, but a step after that failed, such as the report."""

    exit_code = 7


EXIT_INTERRUPTED = 130
