"""Files of `torch.save`: a zip archive of one pickle and the raw bytes of every tensor.

`torch.load` is not used: before torch 2.6 its `weights_only` mode could be made to run code (CVE-2025-32434),
and it makes every object of a file, wanted or not. Here the pickle is read as data, and tensors are views of
the file, so that what isn't wanted (an optimiser's state) isn't read either.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

import torch

from sfm.errors import WeightsError

from .pickle_reader import Described, GlobalName, PersistentId, RefusedPickleError, read_pickle, shown
from .stored_tensors import FETCH_AGAIN, StoredTensor

_MAX_PICKLE_BYTES = 64 << 20
_MAX_OPCODES = 400_000
"""A training run's file needs about 120,000."""
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error)
"""What the standard library raises over damaged archives."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")

_STORAGES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_ALLOWED = frozenset(
    {
        *_STORAGES,
        *(_TENSOR, _PARAMETER, "torch.Size", "torch.device", "torch.nn.parameter.Parameter"),
        *("collections.OrderedDict", "collections.defaultdict", "argparse.Namespace", "_codecs.encode"),
        *(
            f"torch.{name}"
            for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "bool")
        ),
        *(f"{m}.{name}" for m in ("builtins", "__builtin__") for name in ("dict", "list", "set", "object")),
        *(f"{m}._reconstructor" for m in ("copyreg", "copy_reg")),
        *(f"pathlib.{name}" for name in ("Path", "PosixPath", "PurePosixPath", "WindowsPath")),
        *("pathlib._local.PosixPath", "pathlib._local.WindowsPath"),
        *("numpy.dtype", "numpy.ndarray"),
        *(f"numpy.{m}.multiarray.{name}" for m in ("core", "_core") for name in ("scalar", "_reconstruct")),
    }
)
"""What the file of a training run holds beside tensors: its arguments, its optimiser, its scores."""


class TorchFile:
    """The parts of a file that `torch.save` wrote from a dict.

    Raises:
        WeightsError: no such file, another format, compressed or encrypted parts, damage, or a pickle that
            refers to something which weights have no use for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._verified: set[int] = set()
        try:
            with path.open("rb") as file, zipfile.ZipFile(file) as archive:
                self._entries = self._stored_entries(archive)
                pickled = self._pickle(archive)
                # Private and writable, because torch warns of read-only memory; nothing writes to it.
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            content = read_pickle(io.BytesIO(pickled), allowed=_ALLOWED, max_opcodes=_MAX_OPCODES)
        except RefusedPickleError as error:
            raise WeightsError(
                f"{path}: its pickle is refused: {error}",
                hint=f"nothing of it was executed; do not trust this copy, and {FETCH_AGAIN}",
            ) from error
        except (*_ZIP_ERRORS, OSError, ValueError) as error:
            raise self._damaged(shown(error)) from error
        if not isinstance(content, dict):
            raise WeightsError(f"{path}: holds {shown(content)}, expected a dict with args and model")
        self.content: Mapping[object, object] = content

    def fields(self, key: str) -> dict[str, object] | None:
        """The attributes of the namespace (or the items of the dict) `key`, None where there is none."""
        value = self.content.get(key)
        if isinstance(value, Described) and value.maker in ("argparse.Namespace", *_RECONSTRUCTORS):
            value = value.state
        if not isinstance(value, dict):
            return None
        return {name: field for name, field in value.items() if isinstance(name, str)}

    def tensors(self, key: str) -> dict[str, StoredTensor]:
        """The state dict `key`.

        Raises:
            WeightsError: it is missing, holds anything but tensors, or a tensor's bytes are not in the file.
        """
        value = self.content.get(key)
        if isinstance(value, Described) and value.maker == "collections.OrderedDict":
            value = value.items
        if not isinstance(value, dict):
            raise WeightsError(f"{self.path}: has no state dict {key!r}; not a checkpoint", hint=FETCH_AGAIN)
        return {str(name): self._tensor(shown(name), tensor) for name, tensor in value.items()}

    def _stored_entries(self, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            name = entry.filename.partition("/")[2]
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise self._damaged(f"{shown(name)} is compressed or encrypted, which torch.save never does")
            if name in entries:
                raise self._damaged(f"two parts are called {shown(name)}")
            entries[name] = entry
        return entries

    def _pickle(self, archive: zipfile.ZipFile) -> bytes:
        if "constants.pkl" in self._entries:
            raise WeightsError(f"{self.path}: a TorchScript program, not weights", hint=FETCH_AGAIN)
        if "data.pkl" not in self._entries:
            raise WeightsError(
                f"{self.path}: a zip archive, but not one of torch.save",
                hint="do not unpack or pack the download, its name ends in .pth",
            )
        order = self._entries.get("byteorder")
        if order is not None and (order.file_size > 16 or archive.read(order).strip() != b"little"):
            raise self._damaged("its numbers are not little-endian")
        entry = self._entries["data.pkl"]
        if entry.file_size > _MAX_PICKLE_BYTES:
            raise self._damaged(
                f"its pickle has {entry.file_size} bytes, at most {_MAX_PICKLE_BYTES} expected"
            )
        return archive.read(entry)

    def _tensor(self, name: str, value: object) -> StoredTensor:
        if isinstance(value, Described) and value.maker == _PARAMETER and value.arguments:
            value = value.arguments[0]
        if not isinstance(value, Described) or value.maker != _TENSOR or len(value.arguments) < 4:
            raise WeightsError(f"{self.path}: {name} is {shown(value)}, expected a tensor", hint=FETCH_AGAIN)
        storage, offset, shape, stride = value.arguments[:4]
        if not (_is_size(offset) and _is_sizes(shape) and _is_sizes(stride) and len(shape) == len(stride)):
            raise self._damaged(f"tensor {name} has no valid shape")
        dtype, entry, start, available = self._storage(name, storage)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        # A step of 0 would let a small file claim a tensor of any size.
        if math.prod(shape) > available or (0 not in shape and last >= available):
            raise self._damaged(f"tensor {name} is larger than its {available} stored numbers")

        def read() -> torch.Tensor:
            if 0 in shape:
                return torch.empty(shape, dtype=dtype)
            self._verify(entry, start, name)
            flat = torch.frombuffer(self._bytes, dtype=dtype, count=available, offset=start)
            return flat.as_strided(shape, stride, offset)

        return StoredTensor(shape, dtype, read)

    def _storage(self, name: str, reference: object) -> tuple[torch.dtype, zipfile.ZipInfo, int, int]:
        """Type, archive entry, first byte in the file and number of elements of a storage."""
        if not isinstance(reference, PersistentId) or not isinstance(reference.value, tuple):
            raise self._damaged(f"tensor {name} has no storage")
        match reference.value:
            case ("storage", GlobalName(kind), str(key), str(), int(count)) if kind in _STORAGES:
                entry = self._entries.get(f"data/{key}")
            case _:
                raise self._damaged(f"the storage of tensor {name} is described in an unknown way")
        dtype = _STORAGES[kind]
        if entry is None or entry.file_size != count * dtype.itemsize:
            raise self._damaged(f"the storage of tensor {name} is missing or of another size than it says")
        return dtype, entry, self._start(entry, name), count

    def _start(self, entry: zipfile.ZipInfo, name: str) -> int:
        header = self._bytes[entry.header_offset : entry.header_offset + _LOCAL_HEADER.size]
        if len(header) == _LOCAL_HEADER.size:
            magic, name_length, extra_length = _LOCAL_HEADER.unpack(header)
            start = entry.header_offset + _LOCAL_HEADER.size + int(name_length) + int(extra_length)
            if magic == b"PK\3\4" and start + entry.file_size <= len(self._bytes):
                return start
        raise self._damaged(f"the bytes of tensor {name} are not in the file")

    def _verify(self, entry: zipfile.ZipInfo, start: int, name: str) -> None:
        """Checks the archive's checksum of a storage, once."""
        if start in self._verified:
            return
        if zlib.crc32(memoryview(self._bytes)[start : start + entry.file_size]) != entry.CRC:
            raise self._damaged(f"the bytes of tensor {name} have another checksum")
        self._verified.add(start)

    def _damaged(self, reason: str) -> WeightsError:
        return WeightsError(f"{self.path}: damaged or truncated: {reason}", hint=FETCH_AGAIN)


_RECONSTRUCTORS = ("copyreg._reconstructor", "copy_reg._reconstructor")


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _is_sizes(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and len(value) <= 8 and all(map(_is_size, value))
