"""The official files of weights: what they are called, where they come from, where they are looked for."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sfm.errors import WeightsError

VARIABLE: Final = "LOOPSFM_WEIGHTS"
"""Environment variable that names the weights folder."""

_SERVER = "https://download.europe.naverlabs.com/ComputerVision/MASt3R"
_STEM = "MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric"


class WeightsKind(enum.StrEnum):
    """What a file is for."""

    NETWORK = "network"
    RETRIEVAL = "retrieval"
    CODEBOOK = "codebook"


@dataclass(frozen=True, slots=True)
class OfficialFile:
    """One published file."""

    kind: WeightsKind
    name: str
    """File name in the weights folder."""
    url: str
    num_bytes: int
    """Size of its tensors as their shapes tell; what is published says neither size nor checksum."""
    hub_id: str = ""
    """The same weights on the Hugging Face hub, as config.json and model.safetensors."""
    schemes: tuple[str, ...] = ("https",)
    """Protocols by which it may be fetched."""


OFFICIAL_FILES: Final = (
    OfficialFile(
        WeightsKind.NETWORK,
        f"{_STEM}.pth",
        f"{_SERVER}/{_STEM}.pth",
        688_638_856 * 4,
        f"naver/{_STEM}",
    ),
    OfficialFile(
        WeightsKind.RETRIEVAL,
        f"{_STEM}_retrieval_trainingfree.pth",
        f"{_SERVER}/{_STEM}_retrieval_trainingfree.pth",
        (1024 + 1) * 1024 * 8,
    ),
    OfficialFile(
        WeightsKind.CODEBOOK,
        f"{_STEM}_retrieval_codebook.pkl",
        f"{_SERVER}/{_STEM}_retrieval_codebook.pkl",
        65536 * 1024 * 4,
    ),
)
"""The codebook's size is that of 65,536 words; the file itself says how many it has."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An official file, and where it is."""

    official: OfficialFile
    path: Path | None
    """The file, for the hub's form `model.safetensors`; None where it is missing."""
    num_bytes: int
    """Size on disk; of what an interrupted download left where the file is missing."""


def weights_folder(configured: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of the weights: as configured, else $LOOPSFM_WEIGHTS, else in the user's cache folder.

    Raises:
        WeightsError: it is a file.
    """
    chosen, origin = configured, "mast3r.weights_dir"
    if chosen is None and environ.get(VARIABLE):
        chosen, origin = environ[VARIABLE], f"${VARIABLE}"
    if chosen is None:
        return default_folder(environ)
    folder = Path(chosen).expanduser().absolute()
    if folder.is_file():
        raise WeightsError(f"{origin}: {folder} is a file", hint=f"give its folder: {folder.parent}")
    return folder


def default_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The weights folder in the user's cache folder."""
    cache = environ.get("XDG_CACHE_HOME") or ""
    # Relative ones are to be ignored, says the XDG base directory specification.
    root = Path(cache) if os.path.isabs(cache) else Path("~/.cache").expanduser()
    return root / "loopsfm" / "weights"


def find_weights(folder: Path) -> list[FoundFile]:
    """Every official file, found or missing; nothing is read."""
    return [_find(official, folder) for official in OFFICIAL_FILES]


def network_file(configured: str | Path | None = None) -> Path | None:
    """The network's file in the weights folder; None where it is missing."""
    return _find(OFFICIAL_FILES[0], weights_folder(configured)).path


def available(folder: Path) -> bool:
    """Whether all files that the mast3r backend needs are in `folder`."""
    return all(found.path is not None for found in find_weights(folder))


def partial_path(official: OfficialFile, folder: Path) -> Path:
    """Where a download lies until it is complete."""
    return folder / f"{official.name}.part"


def _find(official: OfficialFile, folder: Path) -> FoundFile:
    candidates = [folder / official.name]
    if official.hub_id:
        # As fetched into the weights folder itself, or into a folder of its own.
        stem = Path(official.name).stem
        candidates += [folder / stem / "model.safetensors", folder / "model.safetensors"]
    for path in candidates:
        if path.is_file():
            return FoundFile(official, path, path.stat().st_size)
    part = partial_path(official, folder)
    return FoundFile(official, None, part.stat().st_size if part.is_file() else 0)
