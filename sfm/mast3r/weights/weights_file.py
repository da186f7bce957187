"""One file of weights with what is remembered of it: its checksum, and whether it was read without fault."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sfm.errors import WeightsError

from .checkpoint import is_hub_form, open_network_checkpoint
from .codebook_file import load_codebook
from .foreign_files import first_bytes
from .hub_cache import promised_sha256
from .retrieval_checkpoint import load_retrieval_head
from .weights import HUB_CONFIG, Origin, WeightsKind
from .weights_record import WeightsRecord


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

    @property
    def is_trusted(self) -> bool:
        """Whether it was read without fault before, and has not changed since."""
        return all(self.record.is_trusted(part) for part in self._parts())

    def trust(self) -> None:
        """From now on it must be what it was when `key` saw it: it was read without fault."""
        for part in self._parts():
            self.record.trust(part)

    def accept(self) -> None:
        """Take it as it is now for the right one."""
        for part in self._parts():
            self.record.digest(part, accept=True)

    def _parts(self) -> list[Path]:
        """The file itself, and for the hub's form the configuration beside it."""
        parts = [self.path, self.path.with_name(HUB_CONFIG)] if self.is_hub_form else [self.path]
        for part in parts:
            first_bytes(part)
        return parts
