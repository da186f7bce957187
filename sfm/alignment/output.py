"""A new folder with one model in it, there completely or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pycolmap

from sfm.errors import WorkspaceError
from sfm.exports.models import write_model
from sfm.files.atomic import atomic_folder
from sfm.workspace.workspace import os_errors_as_workspace_errors


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The folder while it is being filled."""

    root: Path

    @property
    def sparse(self) -> Path:
        """Where its model is."""
        return self.root / "sparse" / "0"

    def write(self, model: pycolmap.Reconstruction) -> None:
        """Write the model."""
        write_model(model, self.sparse, text=False)


@contextmanager
def model_output(output: Path) -> Iterator[ModelFolder]:
    """A folder that takes its place when the block ends well.

    Raises:
        WorkspaceError: something is there already, or it cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise WorkspaceError(f"{output} is not empty", hint="choose a new or empty output folder")
    with os_errors_as_workspace_errors(output), atomic_folder(output.absolute()) as scratch:
        yield ModelFolder(scratch)
