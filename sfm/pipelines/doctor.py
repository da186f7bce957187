"""What is installed, what is missing, what that costs and how to get it."""

from __future__ import annotations

import enum
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sfm.config.cores import num_cores
from sfm.errors import MissingDependencyError

_REQUIRED = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "networkx": "networkx",
    "pycolmap": "pycolmap",
    "pyceres": "pyceres",
    "faiss": "faiss-cpu",
    "safetensors": "safetensors",
    "pydantic": "pydantic",
    "yaml": "PyYAML",
    "click": "click",
    "rich": "rich",
    "jinja2": "Jinja2",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "pillow_heif": "pillow-heif",
    "trimesh": "trimesh",
    "huggingface_hub": "huggingface_hub",
    "httpx2": "httpx2",
    "filelock": "filelock",
    "threadpoolctl": "threadpoolctl",
    "annotated_types": "annotated-types",
}
"""Distribution by import name."""

_MIN_FREE_GB = 5.0
_MIN_MEMORY_GB = 4.0


class State(enum.StrEnum):
    """How bad a row is."""

    OK = "ok"
    NOTE = "note"
    """Works, slower or with less."""
    BROKEN = "broken"
    """`sfm run` will not work."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    cost: str = ""
    """What its lack costs."""
    remedy: str = ""
    """How to get it."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that `sfm doctor` prints."""

    rows: tuple[Row, ...]

    @property
    def is_healthy(self) -> bool:
        """True when nothing that every run needs is missing."""
        return all(row.state is not State.BROKEN for row in self.rows)

    def to_dict(self) -> dict[str, object]:
        """JSON values."""
        return {"healthy": self.is_healthy, "rows": [asdict(row) for row in self.rows]}

    def as_text(self) -> str:
        """A line a row, with cost and remedy below where something is missing."""
        width = max(len(row.name) for row in self.rows)
        lines = []
        for row in self.rows:
            lines.append(f"{row.state:<6}  {row.name:<{width}}  {row.found}")
            lines += [f"{'':{width + 10}}{text}" for text in (row.cost, row.remedy) if text]
        return "\n".join(lines)


def doctor() -> Diagnosis:
    """Look at this installation and machine; nothing is changed and nothing is fetched."""
    rows = [_python(), *_packages(), *_import_names()]
    rows += [_probe(name, look) for name, look in _PROBES.items()]
    return Diagnosis(tuple(rows))


def _python() -> Row:
    supported = (3, 11) <= sys.version_info < (3, 14)
    remedy = "" if supported else "use Python 3.11, 3.12 or 3.13: pycolmap has wheels for these"
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Row("python", State.OK if supported else State.BROKEN, found, remedy=remedy)


def _packages() -> Iterator[Row]:
    for module, distribution in _REQUIRED.items():
        if importlib.util.find_spec(module) is None:
            remedy = f"pip install {distribution}"
            yield Row(distribution, State.BROKEN, "not installed", "every run needs it", remedy)
        else:
            yield Row(distribution, State.OK, _version(distribution))


def _import_names() -> Iterator[Row]:
    """Other packages are called `kernels` or `retrieval` too; the first on sys.path wins, silently."""
    ours = Path(__file__).resolve().parents[2]
    for name in ("kernels", "retrieval"):
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin and origin.parent.parent == ours:
            yield Row(f"import {name}", State.OK, "ours")
        else:
            found = f"another package: {origin}" if origin else "not found"
            remedy = f"use an environment of its own for loopsfm, or uninstall the other package named {name}"
            yield Row(f"import {name}", State.BROKEN, found, "the engine would call the wrong code", remedy)


def _probe(name: str, look: Callable[[], Row]) -> Row:
    """The row of a probe; a package that is there but cannot be loaded is broken, whatever it raises."""
    try:
        return look()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        first_line = str(error).partition("\n")[0]
        return Row(name, State.BROKEN, f"cannot be loaded: {first_line}", remedy="install it again")


def _pycolmap_build() -> Row:
    import pycolmap

    return Row("pycolmap build", State.OK, "with CUDA" if pycolmap.has_cuda else "CPU only")


def _torch_device() -> Row:
    import torch

    if torch.cuda.is_available():
        index = torch.cuda.current_device()
        memory = torch.cuda.get_device_properties(index).total_memory / 1e9
        found = f"{torch.cuda.get_device_name(index)}, {memory:.0f} GB"
        return Row("torch device", State.OK, found)
    built = "this torch has CUDA but sees no GPU" if torch.version.cuda else "this torch is a CPU build"
    remedy = "" if torch.version.cuda else "for a GPU install a CUDA build of torch (see README)"
    return Row("torch device", State.NOTE, f"cpu ({built})", "everything is computed on the CPU", remedy)


def _faiss_gpu() -> Row:
    import faiss

    get_num_gpus = getattr(faiss, "get_num_gpus", None)  # the CPU build may not have it
    gpus = get_num_gpus() if get_num_gpus else 0
    if gpus:
        return Row("faiss GPU", State.OK, f"{gpus} GPU")
    remedy = "experts: replace faiss-cpu by faiss-gpu (never both in one environment)"
    return Row("faiss GPU", State.NOTE, "none", "codebooks are learned on the CPU, in more time", remedy)


def _asmk() -> Row:
    if importlib.util.find_spec("asmk"):
        return Row("asmk", State.OK, _version("asmk"))
    return Row("asmk", State.NOTE, "not installed", "no retrieval.engine=asmk", "pip install asmk==0.1.1")


def _numba() -> Row:
    from kernels.dispatch import has_numba  # it may be installed and refuse this numpy

    if has_numba():
        return Row("numba", State.OK, _version("numba"))
    cost = "retrieval on the CPU compares in numpy: three to twelve times slower"
    return Row("numba", State.NOTE, "cannot be used", cost, "pip install --upgrade numba")


def _triton() -> Row:
    if importlib.util.find_spec("triton"):
        return Row("triton", State.OK, _version("triton"))
    cost = "kernels use torch and numpy; of no consequence without a GPU"
    return Row("triton", State.NOTE, "not installed", cost, "comes with the CUDA builds of torch")


def _photo_formats() -> Row:
    import pillow_heif
    from PIL import features

    formats = {
        "JPEG": features.check("jpg"),
        "PNG": features.check("zlib"),
        "TIFF": features.check("libtiff"),
        "WebP": features.check("webp"),
        "AVIF": features.check("avif"),
        "HEIC": bool(pillow_heif.libheif_info().get("decoders", True)),
    }
    missing = [name for name, present in formats.items() if not present]
    found = ", ".join(name for name, present in formats.items() if present)
    if not missing:
        return Row("photo formats", State.OK, found)
    cost = f"{', '.join(missing)} files are skipped"
    return Row("photo formats", State.NOTE, found, cost, "pip install --upgrade Pillow pillow-heif")


def _weights() -> Row:
    from sfm.mast3r.weights.weights import find_weights, weights_folder

    folder = weights_folder()
    files = find_weights(folder)
    used = "; ".join(f"{f.official.kind} {f.path} ({f.origin})" for f in files if f.path is not None)
    missing = [file.official.kind for file in files if file.path is None]
    if not missing:
        return Row("weights", State.OK, used)
    found = "; ".join(filter(None, (used, f"{', '.join(missing)} not in {folder}")))
    without_network = "no backend=mast3r; sift needs none"
    cost = without_network if "network" in missing else "mast3r learns retrieval from the photos instead"
    return Row("weights", State.NOTE, found, cost, "sfm weights --download")


def _aliked() -> Row:
    from sfm.matching.aliked.weights import is_installed

    if is_installed():
        return Row("aliked", State.OK, "networks and weights")
    cost = "backend=auto has no stronger matcher for photos that SIFT leaves out"
    return Row("aliked", State.NOTE, "not installed", cost, "pip install 'loopsfm[aliked]'")


def _machine() -> Row:
    cores = num_cores()
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return Row("machine", State.OK, f"{cores} cores")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    found = f"{cores} cores, {memory_gb:.0f} GB memory"
    if memory_gb >= _MIN_MEMORY_GB:
        return Row("machine", State.OK, found)
    cost = "SIFT on large photos needs about 1.5 GB a thread"
    return Row("machine", State.NOTE, found, cost, "use --preset fast and --threads 1")


def _disk() -> Row:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    found = f"{free_gb:.0f} GB free in {Path.cwd()}"
    if free_gb >= _MIN_FREE_GB:
        return Row("disk", State.OK, found)
    cost = "a result takes about 2 MB a photo, an undistorted export the size of the photos"
    return Row("disk", State.NOTE, found, cost, "write the result to another disk: -o OUT")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "installed, version unknown"


_PROBES: dict[str, Callable[[], Row]] = {
    "pycolmap build": _pycolmap_build,
    "torch device": _torch_device,
    "faiss GPU": _faiss_gpu,
    "asmk": _asmk,
    "numba": _numba,
    "triton": _triton,
    "photo formats": _photo_formats,
    "weights": _weights,
    "aliked": _aliked,
    "machine": _machine,
    "disk": _disk,
}


def require_healthy(diagnosis: Diagnosis) -> None:
    """Raise when something that every run needs is missing.

    Raises:
        MissingDependencyError: naming what is broken.
    """
    broken = ", ".join(row.name for row in diagnosis.rows if row.state is State.BROKEN)
    if broken:
        raise MissingDependencyError(f"sfm run will not work: {broken}", hint="see the lines above")
