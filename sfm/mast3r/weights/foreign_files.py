"""What a file is that should hold weights, as its first bytes tell, and foreign text in messages."""

from pathlib import Path
from typing import Final

from sfm.errors import WeightsError

FETCH_AGAIN: Final = "delete the file and get it again: sfm weights --download"
"""The hint of most failures."""
WRONG_FILE: Final = "`sfm weights` lists which file goes by which name"

ZIP: Final = "a zip archive, as checkpoints are"
PICKLE: Final = "a plain pickle, as codebooks are, and as checkpoints were before PyTorch 1.6"
SAFETENSORS: Final = "a safetensors file"
_HTML = (b"<!doctype html", b"<html", b"<head", b"<?xml", b"<title", b"<body")
_BEGINNINGS = (
    (_HTML, "a web page, such as an error message of the server"),
    ((b"version https://git-lfs",), "a pointer of git-lfs, not the file itself (git lfs pull fetches it)"),
    ((b'{"', b"{\n", b"["), "JSON text"),
    ((b"\x1f\x8b",), "compressed with gzip"),
    ((b"pk\x03\x04",), ZIP),
    ((b"\x80",), PICKLE),
)


def require(path: Path, wanted: str) -> None:
    """Refuse a file of another format than `wanted`, one that is named above.

    Raises:
        WeightsError: saying what the file is instead; or as `format_of`.
    """
    found = format_of(path)
    if found != wanted:
        raise WeightsError(f"{path}: {found}; expected {wanted}", hint=f"{WRONG_FILE}; or {FETCH_AGAIN}")


def format_of(path: Path) -> str:
    """The format of a file, in a few words: one that is named above, or what it holds instead.

    Raises:
        WeightsError: no such file, a folder, a pipe, empty, or not readable.
    """
    if path.is_dir():
        raise WeightsError(f"{path}: a folder, expected a file", hint="`sfm weights` lists the files")
    if path.exists() and not path.is_file():
        raise WeightsError(f"{path}: not a regular file")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        why = (error.strerror or str(error)).lower().replace("file or directory", "file")
        raise WeightsError(f"{path}: {why}", hint="`sfm weights` says what to fetch") from error
    if not head:
        raise WeightsError(f"{path}: empty file", hint=FETCH_AGAIN)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32:
        return SAFETENSORS
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    found = next((name for beginnings, name in _BEGINNINGS if text.startswith(beginnings)), "")
    zeros = "" if any(head) else "only zeros, as an interrupted download leaves them"
    return found or zeros or "of an unknown format"


def printable(value: object) -> str:
    """A foreign value, or the text of an error, for a message: short and on one line."""
    is_flat = isinstance(value, str | bytes | int | float | BaseException | None)
    text = " ".join(str(value)[:240].split()) if is_flat else f"a {type(value).__name__}"
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 120 else f"{text[:120]} ..."
