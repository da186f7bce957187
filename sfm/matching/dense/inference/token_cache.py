"""Encoded photos on disk: memory-mapped, within a bound; what doesn't fit is encoded again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sfm.config.schema import Mast3rConfig
from sfm.files.atomic import atomic_write_bytes
from sfm.mast3r.network.predictor import EncodedPhoto, PairPredictor
from sfm.workspace.workspace import content_key

_VERSION = {torch.bfloat16: 1, torch.float16: 2, torch.float32: 2}
"""Raised when a change of code changes what tokens are: photos are then encoded again."""

_TOKENS = "tokens"
_MAX_BYTES = 20 * 10**9
"""1.6 MB a photo at 512 px, twice that in fp32; beyond it photos are encoded again."""


def tokens_key(predictor: PairPredictor, config: Mast3rConfig) -> str:
    """Identity of all that a photo's tokens depend on besides the photo."""
    return content_key("tokens", _VERSION[predictor.token_dtype], predictor.key, config.image_size)


def open_token_cache(cache_dir: Path, predictor: PairPredictor, config: Mast3rConfig) -> TokenCache:
    """The encoded photos in a workspace's `cache_dir`."""
    folder = cache_dir / "tokens" / tokens_key(predictor, config)
    return TokenCache(folder, _MAX_BYTES, predictor.token_dtype)


class TokenCache:
    """Tokens by content of photo; one file a photo, the one unused for longest deleted first.

    Args:
        folder: names everything that tokens depend on besides the photo (weights, precision, image size).
        max_bytes: bound of all files together.
        dtype: what tokens are kept in.
    """

    def __init__(self, folder: Path, max_bytes: int, dtype: torch.dtype = torch.bfloat16) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.dtype = dtype
        self._sizes = {path: path.stat().st_size for path in sorted(folder.glob("*/*.safetensors"))}

    def __contains__(self, content: str) -> bool:
        return self._path(content) in self._sizes

    def get(self, content: str, name: str, size: tuple[int, int]) -> EncodedPhoto | None:
        """The encoded photo, memory-mapped; None when it isn't there or the file is damaged."""
        path = self._path(content)
        if path not in self._sizes:
            return None
        try:
            with safe_open(path, framework="pt") as file:
                tokens = file.get_tensor(_TOKENS)
        except (OSError, SafetensorError):
            self._forget(path)
            return None
        if tokens.ndim != 2 or len(tokens) * 256 != size[0] * size[1] or tokens.dtype != self.dtype:
            self._forget(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return EncodedPhoto(name, tokens, size)

    def put(self, content: str, tokens: torch.Tensor) -> None:
        """Keep tokens (N, D) of one photo, if one photo fits the bound at all."""
        data = save({_TOKENS: tokens.detach().to("cpu", self.dtype).contiguous()})
        if len(data) > self.max_bytes:
            return
        self._make_room(len(data))
        path = self._path(content)
        atomic_write_bytes(path, data)
        self._sizes[path] = len(data)

    def _make_room(self, needed: int) -> None:
        if sum(self._sizes.values()) + needed <= self.max_bytes:
            return
        for path in sorted(self._sizes, key=_last_use):
            self._forget(path)
            if sum(self._sizes.values()) + needed <= self.max_bytes:
                return

    def _forget(self, path: Path) -> None:
        self._sizes.pop(path, None)
        path.unlink(missing_ok=True)

    def _path(self, content: str) -> Path:
        return self.folder / content[:2] / f"{content}.safetensors"


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
