"""What a file that should hold weights holds instead, for messages."""

from __future__ import annotations

from pathlib import Path

from sfm.errors import WeightsError

_HEAD_BYTES = 512
_HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<title", b"<body")
_ZIP = b"PK\x03\x04"


def require_zip(path: Path) -> None:
    """Refuse what can't be a file of `torch.save`.

    Raises:
        WeightsError: saying what the file is instead, as far as its first bytes tell.
    """
    head = first_bytes(path)
    if head.startswith(_ZIP):
        return
    if head.startswith(b"\x80"):
        raise WeightsError(
            f"{path}: a plain pickle, expected a zip archive of torch.save",
            hint="a codebook goes by its own name (`sfm weights` lists them); a checkpoint of PyTorch before "
            "1.6 must be saved again with a newer one",
        )
    _refuse(path, head)


def require_pickle(path: Path) -> None:
    """Refuse what can't be a binary pickle.

    Raises:
        WeightsError: saying what the file is instead, as far as its first bytes tell.
    """
    head = first_bytes(path)
    if head.startswith(b"\x80"):
        return
    if head.startswith(_ZIP):
        raise WeightsError(
            f"{path}: a zip archive, as checkpoints are; expected the pickle of a codebook",
            hint="`sfm weights` lists which file goes by which name",
        )
    _refuse(path, head)


def first_bytes(path: Path) -> bytes:
    """The beginning of a file.

    Raises:
        WeightsError: no such file, a folder, a pipe, empty, or not readable.
    """
    if path.is_dir():
        raise WeightsError(f"{path}: a folder, expected a file", hint="`sfm weights` lists the files")
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path}: not a regular file")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file", hint="`sfm weights` says what to fetch") from None
    except OSError as error:
        raise WeightsError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if not head:
        raise WeightsError(f"{path}: empty file", hint="delete it, then: sfm weights --download")
    return head


def describe(head: bytes) -> str:
    """What a file is that begins so, in a few words; "" if that can't be told."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_HTML):
        return "a web page, such as an error message of the server"
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of git-lfs, not the file itself (git lfs pull fetches it)"
    if text.startswith((b'{"', b"{\n", b"[")):
        return "JSON text"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return "a safetensors file"
    if head.startswith(b"\x1f\x8b"):
        return "compressed with gzip"
    if not any(head):
        return "only zeros, as an interrupted download leaves them"
    return ""


def _refuse(path: Path, head: bytes) -> None:
    found = describe(head) or "of an unknown format"
    raise WeightsError(f"{path}: {found}", hint="delete it, then: sfm weights --download")
