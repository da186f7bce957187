"""The weights as a run opens them: each file checked, and pinned by its checksum."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from retrieval.codebook import Codebook
from sfm.errors import WeightsError

from ..network.architecture import NetworkArchitecture
from ..network.retrieval_weights import RetrievalHeadWeights
from .checkpoint import open_network_checkpoint
from .codebook_file import load_codebook
from .licence import LICENCE_NOTICE
from .retrieval_checkpoint import load_retrieval_head
from .weights import FoundFile, Origin, WeightsKind, find_weights
from .weights_file import WeightsFile
from .weights_record import WeightsRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredNetwork:
    """A network's weights, ready to use."""

    architecture: NetworkArchitecture
    tensors: dict[str, torch.Tensor]
    """Float32, by the names of `checkpoint.network_names`; views of a file, not to be written to."""
    key: str
    """Identity of the weights: the sha256 of their file, hexadecimal."""


class WeightsStore:
    """The weights in a folder, or given by a path, or in the hub's cache.

    Args:
        folder: the weights folder.
        given: as `weights.given_weights` returns it.
    """

    def __init__(self, folder: Path, given: Path | None = None) -> None:
        self.folder, self.given = folder, given
        self.record = WeightsRecord(folder)

    def found(self, kind: WeightsKind) -> FoundFile:
        """The file of a kind, found or missing."""
        (file,) = (file for file in find_weights(self.folder, self.given) if file.official.kind is kind)
        return file

    def key(self, kind: WeightsKind) -> str:
        """Identity of a file's content.

        Raises:
            WeightsError: missing, or changed since it was first used.
        """
        return self._file(kind).key()

    def network(self) -> StoredNetwork:
        """The network; a file that was read before and has not changed is opened without reading its numbers.

        Raises:
            WeightsError: missing, damaged, hostile, of another network, or changed since it was first used.
        """
        file = self._file(WeightsKind.NETWORK)
        key = self._key(file)
        verified = file.is_trusted
        checkpoint = open_network_checkpoint(file.path, verified=verified)
        network = StoredNetwork(checkpoint.architecture, checkpoint.tensors(verified=verified), key)
        file.trust()
        return network

    def retrieval_head(self) -> RetrievalHeadWeights:
        """The retrieval head.

        Raises:
            WeightsError: as `network`.
        """
        file = self._file(WeightsKind.RETRIEVAL)
        self._key(file)
        head = load_retrieval_head(file.path)
        file.trust()
        return head

    def codebook(self) -> Codebook:
        """The visual words that go with the retrieval head.

        Raises:
            WeightsError: as `network`.
        """
        file = self._file(WeightsKind.CODEBOOK)
        self._key(file)
        codebook = load_codebook(file.path)
        file.trust()
        return codebook

    def require_fit(
        self, architecture: NetworkArchitecture, head: RetrievalHeadWeights, codebook: Codebook | None
    ) -> None:
        """Check that what was read belongs together.

        Raises:
            WeightsError: the head takes other tokens than the network gives, or gives other descriptors than
                the codebook holds, or names another number of words; names both files.
        """
        network, retrieval, words = (self.found(kind).path for kind in WeightsKind)
        if head.token_dim != architecture.encoder_dim:
            raise WeightsError(
                f"{retrieval} takes tokens of {head.token_dim} channels, and {network} gives "
                f"{architecture.encoder_dim}",
                hint="put the retrieval head there that was made for this network, or delete it (and the "
                "codebook): whitening is then learned from the photos",
            )
        if codebook is None:
            return
        hint = (
            "put the codebook there that was made for this retrieval head, or delete it: words are then "
            "learned from the photos"
        )
        if codebook.dim != head.descriptor_dim:
            raise WeightsError(
                f"{words} holds words of {codebook.dim} channels, and {retrieval} gives descriptors of "
                f"{head.descriptor_dim}",
                hint=hint,
            )
        if head.num_clusters not in (None, len(codebook)):
            raise WeightsError(
                f"{words} holds {len(codebook):,} words, and {retrieval} was made for {head.num_clusters:,}",
                hint=hint,
            )

    def show_once(self) -> str:
        """The licence notice when it has not been shown for this folder yet, else an empty text."""
        return self.record.show_once(LICENCE_NOTICE)

    def admit(self, kind: WeightsKind) -> None:
        """Read a file that has just been fetched; from now on it must stay as it is.

        Raises:
            WeightsError: as `network`.
        """
        file = self._file(kind)
        file.key()
        file.check()
        file.trust()

    def accept(self) -> None:
        """Take all files as they are now for the right ones, after reading each.

        Raises:
            WeightsError: one of them cannot be used.
        """
        for found in find_weights(self.folder, self.given):
            if found.path is not None:
                file = self._file(found.official.kind)
                file.check()
                file.accept()

    def _file(self, kind: WeightsKind) -> WeightsFile:
        found = self.found(kind)
        if found.path is None:
            raise WeightsError(
                f"weights not found: {self.folder / found.official.name}",
                hint=f"sfm weights --download fetches them; or put {found.official.url} there",
            )
        return WeightsFile(kind, found.path, found.origin, self._record_of(found.path, found.origin))

    def _record_of(self, path: Path, origin: Origin) -> WeightsRecord:
        """Nothing is written beside a file outside the weights folder; what is given may be any file."""
        if origin is Origin.FOLDER:
            return self.record
        return WeightsRecord(path.parent, ours=False, pins=origin is not Origin.OPTION)

    def _key(self, file: WeightsFile) -> str:
        """As `file.key`, with a word on a file that nobody has vouched for."""
        key = file.key()
        name = self.found(file.kind).official.name
        if file.origin is Origin.OPTION and key != self.record.pinned(name):
            log.warning(
                "%s: its checksum is not the pinned one of %s (sha256 %s); it is used because mast3r.weights "
                "names it",
                file.path,
                name,
                key,
            )
        return key
