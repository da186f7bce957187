"""One file of weights with what is remembered of it: its checksum, and what was made from it."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock
from safetensors import SafetensorError

from sfm.errors import WeightsError

from .checkpoint import is_hub_form, open_network_checkpoint
from .codebook_file import load_codebook
from .foreign_files import first_bytes
from .hub_cache import promised_sha256
from .retrieval_checkpoint import load_retrieval_head
from .weights import HUB_CONFIG, Origin, WeightsKind
from .weights_record import WeightsRecord

log = logging.getLogger(__name__)

CONVERTED: Final = "converted"
"""Subfolder of what was made from the official files; may be deleted at any time."""
_OURS: Final = r"{0}-[0-9a-f]{{16}}\.safetensors|\.{0}-[0-9a-f]{{16}}\.[0-9]+\.part"
_SPARE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A file of weights that is there."""

    kind: WeightsKind
    path: Path
    origin: Origin
    record: WeightsRecord

    @property
    def is_hub_form(self) -> bool:
        """Whether a configuration beside it belongs to it."""
        return self.kind is WeightsKind.NETWORK and is_hub_form(self.path)

    def key(self) -> str:
        """Identity of the content: the sha256 of the file, or for the hub's form one of both files'.

        Raises:
            WeightsError: it cannot be read, has changed since it was first used, or isn't what the hub's
                cache calls it.
        """
        digests = [self.record.digest(part) for part in self._parts()]
        promised = promised_sha256(self.path)
        if promised not in (None, digests[0]):
            raise WeightsError(
                f"{self.path}: damaged: its sha256 is {digests[0]}, the hub's cache has it as {promised}",
                hint="delete it and fetch it again with the tool that fetched it",
            )
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    def check(self) -> None:
        """Read it whole as a run would.

        Raises:
            WeightsError: it cannot be used.
        """
        match self.kind:
            case WeightsKind.NETWORK:
                open_network_checkpoint(self.path).tensors()
            case WeightsKind.RETRIEVAL:
                load_retrieval_head(self.path)
            case WeightsKind.CODEBOOK:
                load_codebook(self.path)

    def trust(self) -> None:
        """From now on it must be what it was when `key` saw it: it was read without fault."""
        for part in self._parts():
            self.record.trust(part)

    def accept(self) -> None:
        """Take it as it is now for the right one."""
        for part in self._parts():
            self.record.digest(part, accept=True)

    @contextmanager
    def conversion(self, key: str) -> Iterator[Path | None]:
        """Where the converted file is or will be, for one process at a time; None where none can be kept."""
        if self.record.folder is None:
            yield None
            return
        folder = self.record.folder / CONVERTED
        try:
            folder.mkdir(exist_ok=True)
        except OSError:
            yield None
            return
        with FileLock(str(folder / ".lock")):
            yield folder / f"{self.kind}-{key[:16]}.safetensors"

    def write(self, converted: Path, num_bytes: int, write: Callable[[Path], object]) -> bool:
        """Write the converted file, all or nothing, in place of earlier ones; False where it can't be."""
        scratch = converted.with_name(f".{converted.stem}.{os.getpid()}.part")
        folder = converted.parent
        try:
            for old in folder.iterdir():
                if re.fullmatch(_OURS.format(self.kind), old.name):
                    old.unlink(missing_ok=True)
            if shutil.disk_usage(folder).free < num_bytes + _SPARE_BYTES:
                log.warning("%s: no space for %.1f GB; the original is used", folder, num_bytes / 1e9)
                return False
            write(scratch)
            with scratch.open("rb+") as file:
                os.fsync(file.fileno())
            scratch.chmod(0o644)  # safetensors makes files that only their owner can read
            os.replace(scratch, converted)
            self.record.remember(converted)
            return True
        except (OSError, SafetensorError) as error:
            log.warning("%s cannot be written (%s); the original is used", converted, error)
            return False
        finally:
            scratch.unlink(missing_ok=True)

    def _parts(self) -> list[Path]:
        """The file itself, and for the hub's form the configuration beside it."""
        parts = [self.path, self.path.with_name(HUB_CONFIG)] if self.is_hub_form else [self.path]
        for part in parts:
            first_bytes(part)
        return parts
