"""Files of `torch.save` and safetensors: tensors that are views of the file, checked before they are read.

Of a pickle nothing but tensors and plain values is made: sizes are checked first, then `torch.load` reads it
with `weights_only`. What isn't wanted (an optimiser's state) takes no memory.
"""

import argparse
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sfm.errors import WeightsError

from .foreign_files import FETCH_AGAIN, WRONG_FILE, ZIP, printable, require

_MAX_PICKLE_BYTES = 64 << 20
_MAX_INSTRUCTIONS = 400_000
"""A training run's file needs about 120,000."""
_MAX_TUPLE = 1_000
"""Parts of a tuple, written out: hashing one, as a key of a dict, takes as many steps and as deep a stack."""
_LISTED = 4


class RefusedPickleError(ValueError):
    """A pickle that is damaged, refers to something it has no use for, or is written to waste memory."""


class _Unwanted:
    """Stands for an object that no weights need: nothing of it is made."""

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


_UNWANTED = """
pathlib.Path pathlib.PosixPath pathlib.WindowsPath pathlib.PurePosixPath
pathlib._local.PosixPath pathlib._local.WindowsPath
numpy.core.multiarray.scalar numpy.core.multiarray._reconstruct numpy.dtype
numpy._core.multiarray.scalar numpy._core.multiarray._reconstruct numpy.ndarray
builtins.dict builtins.list collections.defaultdict
"""
_NAMES: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,
    *((_Unwanted, name) for name in _UNWANTED.split()),
]
"""What a training run's file holds beside tensors: its arguments, its optimiser, its scores."""


def read_checkpoint(
    path: Path, *, verified: bool = False
) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    """What `torch.save` wrote of a dict with `args` and `model`.

    Args:
        path: the file.
        verified: whether its checksums were compared before, and it has not changed.

    Returns:
        The arguments, other values than text and numbers replaced by their type; and the state dict.

    Raises:
        WeightsError: no such file, another format, compressed or encrypted parts, damage, a pickle that
            refers to something which weights have no use for, or no such dict.
    """
    content = _content(path, verified=verified)
    arguments, model = (content.get(key) if isinstance(content, dict) else None for key in ("args", "model"))
    if isinstance(arguments, argparse.Namespace):
        arguments = vars(arguments)
    if not isinstance(arguments, dict) or not isinstance(model, dict):
        raise WeightsError(f"{path}: not MASt3R's: has no args and model of a checkpoint", hint=WRONG_FILE)
    for name, tensor in model.items():
        if not isinstance(name, str) or not _is_held(tensor):
            raise WeightsError(f"{path}: {printable(name)} is no tensor that it holds", hint=FETCH_AGAIN)
    plain: dict[str, object] = {
        key: value if isinstance(value, str | int | float | None) else type(value)
        for key, value in arguments.items()
        if isinstance(key, str)
    }
    return plain, {name: tensor.detach() for name, tensor in model.items()}


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file.

    Raises:
        WeightsError: damaged, or truncated.
    """
    try:
        return load_file(path)
    except Exception as error:  # safetensors' own, and torch's of types that it does not know
        why = f"damaged safetensors file: {printable(error)}"
        raise WeightsError(f"{path}: {why}", hint=FETCH_AGAIN) from error


def check_shapes(
    path: Path, stored: Mapping[str, torch.Tensor], expected: Mapping[str, tuple[int, ...]], what: str
) -> None:
    """Names, shapes and types must be exactly those of `what`.

    Raises:
        WeightsError: naming the first few that are missing, unknown, of another shape, or not floating point.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    differ = [name for name in stored if name in expected and shapes[name] != expected[name]]
    problems = {
        "missing": [name for name in expected if name not in stored],
        "unknown": [name for name in stored if name not in expected],
        "of another shape": [f"{name} {shapes[name]} instead of {expected[name]}" for name in differ],
        "not floating point": [f"{n} {t.dtype}" for n, t in stored.items() if not t.dtype.is_floating_point],
    }
    found = "; ".join(
        f"{len(names)} {kind} ({', '.join(map(printable, [*names[:_LISTED], '...'][: len(names)]))})"
        for kind, names in problems.items()
        if names
    )
    if found:
        raise WeightsError(f"{path}: not {what}: tensors {found}", hint=FETCH_AGAIN)


def read_finite(path: Path, name: str, stored: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """One tensor as `dtype`; a view of the file where it has this type already.

    Raises:
        WeightsError: NaN or infinity in it.
    """
    tensor = stored.to(dtype)
    if tensor.numel() and not all(map(torch.isfinite, torch.aminmax(tensor))):
        raise WeightsError(f"{path}: tensor {name} holds NaN or infinity", hint=FETCH_AGAIN)
    return tensor


def require_short(pickled: bytes, max_instructions: int) -> None:
    """Refuse a pickle that takes too many instructions, or builds a tuple of too many parts.

    Raises:
        RefusedPickleError: it does, is cut off, or holds an unknown instruction.
    """
    stack: list[int | None] = []
    memo: dict[int, int | None] = {}
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
            if number >= max_instructions:
                raise ValueError(f"more than {max_instructions} instructions")
            _trace(opcode, argument, stack, memo)
    except (ValueError, OverflowError, MemoryError, LookupError) as error:
        raise RefusedPickleError(printable(error)) from error


def _trace(
    opcode: pickletools.OpcodeInfo, argument: Any, stack: list[int | None], memo: dict[int, int | None]
) -> None:
    """What an instruction does to the stack and the memo, in parts of tuples; None is a mark."""
    if "PUT" in opcode.name or opcode.name == "MEMOIZE":
        memo[len(memo) if argument is None else int(argument)] = stack[-1]
        return
    num_parts, before = 1, list(opcode.stack_before)
    if pickletools.markobject in before:
        while (part := stack.pop()) is not None:
            num_parts += part
        before = before[: before.index(pickletools.markobject)]
    num_parts += sum(stack.pop() or 0 for _ in before)
    if opcode.name == "DUP":
        stack += [num_parts - 1] * 2
    elif "GET" in opcode.name:
        stack.append(memo[int(argument)])
    elif opcode.stack_after == [pickletools.markobject]:
        stack.append(None)
    elif opcode.stack_after == [pickletools.pytuple]:
        stack.append(num_parts)
    elif opcode.stack_after:
        stack.append(1)
    if stack and (stack[-1] or 0) > _MAX_TUPLE:
        raise ValueError(f"a tuple of more than {_MAX_TUPLE} parts")


def refused(path: Path, reason: str) -> WeightsError:
    """The error about a pickle that is refused for a reason."""
    return WeightsError(
        f"{path}: its pickle is refused: {reason}",
        hint=f"nothing of it was executed; do not trust this copy, and {FETCH_AGAIN}",
    )


def _content(path: Path, *, verified: bool) -> object:
    require(path, ZIP)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_sizes(archive, path.stat().st_size)
            if not verified and (damaged := archive.testzip()):
                raise ValueError(f"{damaged} has another checksum")
        with torch.serialization.safe_globals(_NAMES):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RefusedPickleError as error:
        raise refused(path, str(error)) from error
    except Exception as error:  # torch's reader raises whatever a damaged pickle leads it to
        if name := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise refused(path, f"it refers to {name[1]:.100}, which weights have no use for") from error
        raise WeightsError(f"{path}: damaged or truncated: {printable(error)}", hint=FETCH_AGAIN) from error


def _check_sizes(archive: zipfile.ZipFile, num_bytes: int) -> None:
    """Compare all sizes with the file's, and the length of the pickle, before anything is read."""
    entries = archive.infolist()
    sizes = {entry.filename.partition("/")[2]: entry.file_size for entry in entries}
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise ValueError("parts are compressed or encrypted, which torch.save never does")
    if len(sizes) < len(entries):
        raise ValueError("two parts have one name")
    if "data.pkl" not in sizes:
        raise ValueError("not an archive of torch.save; do not unpack or pack the download")
    if sum(sizes.values()) > num_bytes or sizes["data.pkl"] > _MAX_PICKLE_BYTES:
        raise ValueError("its parts are larger than they can be")
    (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
    require_short(archive.read(pickled), _MAX_INSTRUCTIONS)


def _is_held(value: object) -> bool:
    """Whether a value is a tensor of the usual kind; with a step of 0 a small file claims one of any size."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and value.nbytes <= value.untyped_storage().nbytes()
    )
