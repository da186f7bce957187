"""A weights folder as what a run opens: each file checked, pinned, and kept in a form that opens at once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_file

from retrieval.codebook import Codebook
from retrieval.errors import RetrievalError
from sfm.errors import WeightsError

from .architecture import ArchitectureError, NetworkArchitecture
from .checkpoint import HUB_CONFIG, HUB_WEIGHTS, checked_tensors, open_network_checkpoint
from .codebook_file import load_codebook
from .licence import LICENCE_NOTICE
from .retrieval_checkpoint import load_retrieval_head
from .retrieval_weights import RetrievalHeadWeights
from .stored_tensors import safetensors_of
from .weights import WeightsKind, find_weights
from .weights_record import WeightsRecord

log = logging.getLogger(__name__)

CONVERTED: Final = "converted"
"""Subfolder of what was made from the official files; may be deleted at any time."""
_SPARE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """A network's weights, ready to use."""

    architecture: NetworkArchitecture
    tensors: dict[str, torch.Tensor]
    """Float32, by the names of `checkpoint.network_names`; views of a file, not to be written to."""
    key: str
    """Identity of the weights: the sha256 of their file, hexadecimal."""


class WeightsStore:
    """The weights in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = WeightsRecord(folder)

    def network(self) -> StoredNetwork:
        """The network; on first use it is converted, which takes as much disk space again.

        Raises:
            WeightsError: missing, damaged, hostile, of another network, or changed since it was first used.
        """
        path = self._path(WeightsKind.NETWORK)
        network = self._network(path, self._network_key(path))
        for part in _files_of(path):
            self.record.trust(part)
        return network

    def retrieval_head(self) -> RetrievalHeadWeights:
        """The retrieval head.

        Raises:
            WeightsError: as `network`.
        """
        path = self._path(WeightsKind.RETRIEVAL)
        self.record.digest(path)
        head = load_retrieval_head(path)
        self.record.trust(path)
        return head

    def codebook(self) -> Codebook:
        """The visual words that go with the retrieval head.

        Raises:
            WeightsError: as `network`.
        """
        path = self._path(WeightsKind.CODEBOOK)
        with self._conversion(WeightsKind.CODEBOOK, self.record.digest(path)) as converted:
            if converted is not None and self.record.is_unchanged(converted):
                try:
                    return Codebook.load(converted)
                except RetrievalError as error:
                    log.warning("made again: %s", error)
            codebook = load_codebook(path)
            self.record.trust(path)
            if converted is not None:
                self._write(converted, codebook.centroids.nbytes, codebook.save)
            return codebook

    def require_fit(
        self, architecture: NetworkArchitecture, head: RetrievalHeadWeights, codebook: Codebook | None
    ) -> None:
        """Check that what was read from this folder belongs together.

        Raises:
            WeightsError: the head takes other tokens than the network gives, or gives other descriptors than
                the codebook holds; names both files.
        """
        network, retrieval = self._path(WeightsKind.NETWORK), self._path(WeightsKind.RETRIEVAL)
        if head.token_dim != architecture.encoder_dim:
            raise WeightsError(
                f"{retrieval} takes tokens of {head.token_dim} channels, and {network} gives "
                f"{architecture.encoder_dim}",
                hint="put the retrieval head there that was made for this network, or delete it (and the "
                "codebook): whitening is then learned from the photos",
            )
        if codebook is not None and codebook.dim != head.descriptor_dim:
            raise WeightsError(
                f"{self._path(WeightsKind.CODEBOOK)} holds words of {codebook.dim} channels, and {retrieval} "
                f"gives descriptors of {head.descriptor_dim}",
                hint="put the codebook there that was made for this retrieval head, or delete it: words are "
                "then learned from the photos",
            )

    def show_once(self) -> str:
        """The licence notice when it has not been shown for this folder yet, else an empty text."""
        return self.record.show_once(LICENCE_NOTICE)

    def admit(self, kind: WeightsKind) -> None:
        """Read a file that has just been fetched; from now on it must stay as it is.

        Raises:
            WeightsError: as `network`.
        """
        path = self._path(kind)
        for part in _files_of(path):
            self.record.digest(part)
        _check(kind, path)
        for part in _files_of(path):
            self.record.trust(part)

    def accept(self) -> None:
        """Take all files as they are now for the right ones, after reading each.

        Raises:
            WeightsError: one of them cannot be used.
        """
        for file in find_weights(self.folder):
            if file.path is not None:
                _check(file.official.kind, file.path)
                for part in _files_of(file.path):
                    self.record.digest(part, accept=True)

    def _network(self, path: Path, key: str) -> StoredNetwork:
        if path.name == HUB_WEIGHTS:
            checkpoint = open_network_checkpoint(path)
            return StoredNetwork(checkpoint.architecture, checkpoint.tensors(), key)
        with self._conversion(WeightsKind.NETWORK, key) as converted:
            if converted is not None and self.record.is_unchanged(converted):
                try:
                    return StoredNetwork(*_read_network(converted), key)
                except WeightsError as error:
                    log.warning("made again: %s", error)
            checkpoint = open_network_checkpoint(path)
            tensors = checkpoint.tensors()
            metadata = {"architecture": json.dumps(dataclasses.asdict(checkpoint.architecture))}
            size = sum(tensor.nbytes for tensor in tensors.values())
            if converted is not None and self._write(
                converted, size, lambda scratch: save_file(_apart(tensors), scratch, metadata)
            ):
                return StoredNetwork(*_read_network(converted), key)
            return StoredNetwork(checkpoint.architecture, tensors, key)

    def _path(self, kind: WeightsKind) -> Path:
        (file,) = (file for file in find_weights(self.folder) if file.official.kind is kind)
        if file.path is None:
            raise WeightsError(
                f"weights not found: {self.folder / file.official.name}",
                hint=f"sfm weights --download fetches them; or put {file.official.url} there",
            )
        return file.path

    def _network_key(self, path: Path) -> str:
        digests = [self.record.digest(part) for part in _files_of(path)]
        return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()

    @contextmanager
    def _conversion(self, kind: WeightsKind, key: str) -> Iterator[Path | None]:
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
            yield folder / f"{kind}-{key[:16]}.safetensors"

    def _write(self, path: Path, num_bytes: int, write: Callable[[Path], object]) -> bool:
        """Write a converted file, all or nothing, in place of earlier ones; False where it isn't possible."""
        scratch = path.with_name(f".{path.stem}.{os.getpid()}.part")
        try:
            kind = path.name.partition("-")[0]
            for old in (*path.parent.glob(f"{kind}-*.safetensors"), *path.parent.glob(f".{kind}-*.part")):
                old.unlink(missing_ok=True)
            if shutil.disk_usage(path.parent).free < num_bytes + _SPARE_BYTES:
                log.warning("%s: no space for %.1f GB; the original is used", path.parent, num_bytes / 1e9)
                return False
            write(scratch)
            with scratch.open("rb+") as file:
                os.fsync(file.fileno())
            scratch.chmod(0o644)  # safetensors makes files that only their owner can read
            os.replace(scratch, path)
            self.record.remember(path)
            return True
        except (OSError, SafetensorError) as error:
            log.warning("%s cannot be written (%s); the original is used", path, error)
            return False
        finally:
            scratch.unlink(missing_ok=True)


def _check(kind: WeightsKind, path: Path) -> None:
    """Read a whole file as a run would."""
    match kind:
        case WeightsKind.NETWORK:
            open_network_checkpoint(path).tensors()
        case WeightsKind.RETRIEVAL:
            load_retrieval_head(path)
        case WeightsKind.CODEBOOK:
            load_codebook(path)


def _files_of(path: Path) -> list[Path]:
    """The file itself, and for the hub's form the configuration beside it."""
    return [path, path.with_name(HUB_CONFIG)] if path.name == HUB_WEIGHTS else [path]


def _read_network(path: Path) -> tuple[NetworkArchitecture, dict[str, torch.Tensor]]:
    stored, metadata = safetensors_of(path)
    try:
        architecture = NetworkArchitecture(**json.loads(metadata.get("architecture", "")))
    except (ValueError, TypeError, ArchitectureError) as error:
        raise WeightsError(f"{path}: no description of a network: {error}") from error
    tensors = checked_tensors(path, stored, architecture)
    return architecture, {name: tensor.read() for name, tensor in tensors.items()}


def _apart(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous tensors no two of which share memory, as safetensors wants them."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        apart[name] = tensor.clone() if tensor.data_ptr() in seen else tensor.contiguous()
        seen.add(tensor.data_ptr())
    return apart
