"""What the Hugging Face hub's own tools have fetched onto this machine; nothing is written or fetched.

Its cache holds a folder a repository, `models--OWNER--NAME`, with `refs` to and `snapshots` of its revisions;
files of a snapshot are links to `blobs`, large ones named by their sha256.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The cache folder, found as the hub's own tools find it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environ.get(name):
            return _folder(environ[name])
    if environ.get("HF_HOME"):
        return _folder(environ["HF_HOME"]) / "hub"
    return _folder(environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface" / "hub"


def repository(hub_id: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder in the cache that a repository has, or would have."""
    return hub_cache(environ) / f"models--{hub_id.replace('/', '--')}"


def snapshots(repository: Path) -> list[Path]:
    """The revisions of a repository that are here: that of `main` first, then the newest."""
    try:
        main = (repository / "refs" / "main").read_bytes()[:100].decode("ascii", "replace").strip()
        main_first = {main: 0}
    except OSError:
        main_first = {}
    try:
        found = [path for path in (repository / "snapshots").iterdir() if path.is_dir()]
        return sorted(found, key=lambda path: (main_first.get(path.name, 1), -path.stat().st_mtime))
    except OSError:
        return []


def promised_sha256(path: Path) -> str | None:
    """The sha256 by which the cache knows a file, None for a file that it doesn't know so."""
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", blob.name) else None


def _folder(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser().absolute()
