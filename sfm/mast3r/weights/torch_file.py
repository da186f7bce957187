"""Files of `torch.save`, loaded by `torch.load` with `weights_only` after a check of all their sizes.

Tensors are views of the file, so that what isn't wanted (an optimiser's state) takes no memory.
"""

from __future__ import annotations

import argparse
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sfm.errors import WeightsError

from .pickle_size import RefusedPickleError, require_short, shown
from .stored_tensors import FETCH_AGAIN

_MAX_PICKLE_BYTES = 64 << 20
_MAX_INSTRUCTIONS = 400_000
"""A training run's file needs about 120,000."""


class _Unwanted:
    """Stands for an object that no weights need: nothing of it is made."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_NAMES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    *(
        (_Unwanted, f"pathlib{module}.{name}")
        for module in ("", "._local")
        for name in ("PosixPath", "WindowsPath")
    ),
    *((_Unwanted, name) for name in ("pathlib.Path", "pathlib.PurePosixPath", "collections.defaultdict")),
    *(
        (_Unwanted, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ),
    *((_Unwanted, name) for name in ("numpy.dtype", "numpy.ndarray", "builtins.dict", "builtins.list")),
]
"""What a training run's file holds beside tensors: its arguments, its optimiser, its scores."""


class TorchFile:
    """The parts of a file that `torch.save` wrote from a dict.

    Args:
        path: the file.
        verified: whether its checksums were compared before, and it has not changed.

    Raises:
        WeightsError: no such file, another format, compressed or encrypted parts, damage, or a pickle that
            refers to something which weights have no use for.
    """

    def __init__(self, path: Path, *, verified: bool = False) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self._check_sizes(archive)
                if not verified and (damaged := archive.testzip()):
                    raise self._damaged(f"{shown(damaged)} has another checksum")
            with torch.serialization.safe_globals(_NAMES):
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except WeightsError:
            raise
        except RefusedPickleError as error:
            raise self._refused(str(error)) from error
        except Exception as error:  # torch's reader raises whatever a damaged pickle leads it to
            name = re.search(r"GLOBAL ([\w.]+)", str(error))
            if name:
                raise self._refused(
                    f"it refers to {shown(name[1])}, which weights have no use for"
                ) from error
            raise self._damaged(shown(error)) from error
        if not isinstance(content, dict):
            raise WeightsError(f"{path}: holds {shown(content)}, expected a dict with args and model")
        self._content = content

    def fields(self, key: str) -> dict[str, object] | None:
        """The attributes of the namespace (or the items of the dict) `key`, None where there is none.

        Values that are neither text nor numbers are replaced by their type.
        """
        value = self._content.get(key)
        if isinstance(value, argparse.Namespace):
            value = vars(value)
        if not isinstance(value, dict):
            return None
        return {
            name: field if isinstance(field, str | int | float | None) else type(field)
            for name, field in value.items()
            if isinstance(name, str)
        }

    def tensors(self, key: str) -> dict[str, torch.Tensor]:
        """The state dict `key`; views of the file.

        Raises:
            WeightsError: it is missing, or holds anything but tensors.
        """
        value = self._content.get(key)
        if not isinstance(value, dict):
            raise WeightsError(f"{self.path}: has no state dict {key!r}; not a checkpoint", hint=FETCH_AGAIN)
        return {str(name): self._checked(shown(name), tensor) for name, tensor in value.items()}

    def _check_sizes(self, archive: zipfile.ZipFile) -> None:
        """Compare all sizes with the file's, and the length of the pickle."""
        sizes: dict[str, int] = {}
        for entry in archive.infolist():
            name = entry.filename.partition("/")[2]
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise self._damaged(f"{shown(name)} is compressed or encrypted, which torch.save never does")
            if name in sizes:
                raise self._damaged(f"two parts are called {shown(name)}")
            sizes[name] = entry.file_size
        if "constants.pkl" in sizes:
            raise WeightsError(f"{self.path}: a TorchScript program, not weights", hint=FETCH_AGAIN)
        if "data.pkl" not in sizes:
            raise WeightsError(
                f"{self.path}: a zip archive, but not one of torch.save",
                hint="do not unpack or pack the download, its name ends in .pth",
            )
        if sum(sizes.values()) > self.path.stat().st_size or sizes["data.pkl"] > _MAX_PICKLE_BYTES:
            raise self._damaged("its parts are larger than they can be")
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        require_short(io.BytesIO(archive.read(pickled)), _MAX_INSTRUCTIONS)

    def _checked(self, name: str, value: object) -> torch.Tensor:
        if not isinstance(value, torch.Tensor):
            raise WeightsError(f"{self.path}: {name} is {shown(value)}, expected a tensor", hint=FETCH_AGAIN)
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise self._damaged(f"tensor {name} is of an unusual kind")
        # A step of 0 would let a small file claim a tensor of any size.
        if value.nbytes > value.untyped_storage().nbytes():
            raise self._damaged(f"tensor {name} is larger than what is stored of it")
        return value.detach()

    def _refused(self, reason: str) -> WeightsError:
        return WeightsError(
            f"{self.path}: its pickle is refused: {reason}",
            hint=f"nothing of it was executed; do not trust this copy, and {FETCH_AGAIN}",
        )

    def _damaged(self, reason: str) -> WeightsError:
        return WeightsError(f"{self.path}: damaged or truncated: {reason}", hint=FETCH_AGAIN)
