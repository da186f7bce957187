"""The official files of weights: what they are called, where they come from, where they are looked for."""

import enum
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sfm.errors import WeightsError

HUB_CONFIG, HUB_WEIGHTS = "config.json", "model.safetensors"
"""The two files of a network in the hub's form."""
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


OFFICIAL_FILES: Final = tuple(
    OfficialFile(kind, f"{_STEM}{end}", f"{_SERVER}/{_STEM}{end}", num_bytes, hub_id)
    for kind, end, num_bytes, hub_id in (
        (WeightsKind.NETWORK, ".pth", 688_638_856 * 4, f"naver/{_STEM}"),
        (WeightsKind.RETRIEVAL, "_retrieval_trainingfree.pth", (1024 + 1) * 1024 * 8, ""),
        (WeightsKind.CODEBOOK, "_retrieval_codebook.pkl", 65536 * 1024 * 4, ""),
    )
)
"""The codebook's size is that of 65,536 words; the file itself says how many it has."""


class Origin(enum.StrEnum):
    """What led to a file."""

    OPTION = "mast3r.weights"
    FOLDER = "the weights folder"
    HUB_CACHE = "the hub's cache"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An official file, or one in its place, and where it is."""

    official: OfficialFile
    path: Path | None
    """The file, for the hub's form `model.safetensors`; None where it is missing."""
    num_bytes: int
    """Size on disk; of what an interrupted download left where the file is missing."""
    origin: Origin = Origin.FOLDER
    """Where it was found, or is missing."""


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


def given_weights(configured: str | Path | None) -> Path | None:
    """What `mast3r.weights` names: a network's file, or a folder with one.

    Raises:
        WeightsError: there is no such file or folder, or no network in the folder.
    """
    if configured is None:
        return None
    given = Path(configured).expanduser().absolute()
    if not os.path.isdir(given) and not os.path.isfile(given):
        raise WeightsError(f"mast3r.weights: {given}: no such file or folder", hint=_WHAT_TO_GIVE)
    if os.path.isdir(given) and not any(os.path.isfile(path) for path in _places(OFFICIAL_FILES[0], given)):
        raise WeightsError(f"mast3r.weights: {given} holds no network", hint=_WHAT_TO_GIVE)
    return given


def find_weights(folder: Path, given: Path | None = None) -> list[FoundFile]:
    """Every official file, or what is used in its place, found or missing; nothing is read.

    A network that is neither given nor in the weights folder is looked for in the hub's cache.

    Args:
        folder: the weights folder.
        given: as `given_weights` returns it: the network is there and nowhere else, and the other files are
            looked for beside it first.
    """
    return [_find(official, folder, given) for official in OFFICIAL_FILES]


def partial_files(official: OfficialFile, folder: Path) -> list[Path]:
    """What interrupted downloads have left of a file; each name holds which version of it that is."""
    return sorted(folder.glob(f"{official.name}.*.part"))


_WHAT_TO_GIVE = (
    "give a .pth, a .safetensors file with its config.json beside it, or a folder that holds either "
    "under its official name (`sfm weights` lists these)"
)


def _find(official: OfficialFile, folder: Path, given: Path | None) -> FoundFile:
    for path, origin in _candidates(official, folder, given):
        if os.path.isfile(path):
            return FoundFile(official, path, path.stat().st_size, origin)
    num_bytes = [part.stat().st_size for part in partial_files(official, folder)]
    return FoundFile(official, None, max(num_bytes, default=0))


def _candidates(official: OfficialFile, folder: Path, given: Path | None) -> Iterator[tuple[Path, Origin]]:
    if given is not None:
        is_network = official.kind is WeightsKind.NETWORK
        beside = given if given.is_dir() else given.parent
        places = [given] if is_network and beside != given else _places(official, beside)
        yield from ((path, Origin.OPTION) for path in places)
        if is_network:
            return
    yield from ((path, Origin.FOLDER) for path in _places(official, folder))
    if official.hub_id:
        yield from ((path, Origin.HUB_CACHE) for path in _in_hub_cache(official.hub_id))


def _places(official: OfficialFile, folder: Path) -> list[Path]:
    """Where a folder may have a file: as published, or in the hub's form, by itself or in a folder."""
    if not official.hub_id:
        return [folder / official.name]
    own = folder / Path(official.name).stem
    # A folder of the hub's cache holds a snapshot of each revision, links to what may be gone.
    found = [file for file in folder.glob(f"snapshots/*/{HUB_WEIGHTS}") if os.path.isfile(file)]
    whole = [file for file in found if os.path.isfile(file.with_name(HUB_CONFIG))]
    newest_first = sorted(whole, key=os.path.getmtime, reverse=True)
    return [folder / official.name, own / HUB_WEIGHTS, folder / HUB_WEIGHTS, *newest_first]


def _in_hub_cache(hub_id: str) -> list[Path]:
    """The weights where the Hugging Face hub's own tools put them, if they fetched the configuration, too."""
    from huggingface_hub import try_to_load_from_cache

    try:
        found = [try_to_load_from_cache(hub_id, name) for name in (HUB_WEIGHTS, HUB_CONFIG)]
    except (OSError, ValueError):  # a damaged cache
        return []
    return [Path(found[0])] if isinstance(found[0], str) and isinstance(found[1], str) else []
