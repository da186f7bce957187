"""The weights as a run opens them: each file checked, and pinned by its checksum."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retrieval.codebook import Codebook
from sfm.errors import WeightsError

from ..network.architecture import NetworkArchitecture
from ..network.retrieval_weights import RetrievalHeadWeights
from .checkpoint import load_network_checkpoint
from .codebook_file import load_codebook
from .foreign_files import SAFETENSORS, format_of
from .licence import LICENCE_NOTICE
from .retrieval_checkpoint import load_retrieval_head
from .weights import HUB_CONFIG, FoundFile, Origin, WeightsKind, find_weights
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

    What reads a file raises WeightsError where it is missing, damaged, hostile, of another network, or has
    changed since it was first used.

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

    def network(self) -> StoredNetwork:
        """The network; the numbers of a file that was read before and has not changed are not read again."""
        (architecture, tensors), key = self.admit(WeightsKind.NETWORK)
        return StoredNetwork(architecture, tensors, key)

    def retrieval_head(self) -> tuple[RetrievalHeadWeights, str]:
        """The retrieval head, and the identity of its file."""
        head, key = self.admit(WeightsKind.RETRIEVAL)
        return head, key

    def codebook(self) -> tuple[Codebook, str]:
        """The visual words that go with the retrieval head, and the identity of their file."""
        codebook, key = self.admit(WeightsKind.CODEBOOK)
        return codebook, key

    def require_fit(
        self, architecture: NetworkArchitecture, head: RetrievalHeadWeights, codebook: Codebook | None
    ) -> None:
        """Check that what was read belongs together.

        Raises:
            WeightsError: the head takes other tokens than the network gives, or gives other descriptors than
                the codebook holds, or names another number of words; names both files.
        """
        network, retrieval, words = (self.found(kind).path for kind in WeightsKind)
        pairs = [("length of tokens", head.token_dim, retrieval, architecture.encoder_dim, network)]
        if codebook is not None:
            count = len(codebook)
            pairs.append(("length of words", codebook.dim, words, head.descriptor_dim, retrieval))
            pairs.append(("number of words", count, words, head.num_clusters or count, retrieval))
        for what, found, file, wanted, other in pairs:
            if found != wanted:
                raise WeightsError(
                    f"the {what} is {found} in {file}, but {wanted} in {other}",
                    hint="put files there that were made for each other, or delete the retrieval head and "
                    "the codebook: whitening and words are then learned from the photos",
                )

    def show_once(self) -> str:
        """The licence notice when it has not been shown for this folder yet, else an empty text."""
        return self.record.show_once(LICENCE_NOTICE)

    def admit(self, kind: WeightsKind, *, accept: bool = False) -> tuple[Any, str]:
        """Read a file as a run does; from now on it must stay as it is.

        Args:
            kind: which file.
            accept: whether it may have changed since it was first used.

        Returns:
            What its reader gives, and the identity of its content.
        """
        found = self.found(kind)
        path, official = found.path, found.official
        if path is None:
            raise WeightsError(
                f"weights not found: {self.folder / official.name}",
                hint=f"sfm weights --download fetches them; or put {official.url} there",
            )
        # Nothing is written beside a file outside the weights folder; what is given may be any file.
        elsewhere = WeightsRecord(path.parent, ours=False, pins=found.origin is not Origin.OPTION)
        record = self.record if found.origin is Origin.FOLDER else elsewhere
        is_hub_form = format_of(path) == SAFETENSORS and kind is WeightsKind.NETWORK
        seen = record.seen([path, path.with_name(HUB_CONFIG)] if is_hub_form else [path], accept=accept)
        content: object
        match kind:
            case WeightsKind.NETWORK:
                content = load_network_checkpoint(path, verified=seen.known and not accept)
            case WeightsKind.RETRIEVAL:
                content = load_retrieval_head(path)
            case WeightsKind.CODEBOOK:
                content = load_codebook(path)
        record.remember(seen)
        if found.origin is Origin.OPTION and seen.key != self.record.pinned(official.name):
            log.warning("%s: its checksum is not the pinned one of %s: %s", path, official.name, seen.key)
        return content, seen.key

    def accept(self) -> None:
        """Take all files as they are now for the right ones, after reading each."""
        for found in find_weights(self.folder, self.given):
            if found.path is not None:
                self.admit(found.official.kind, accept=True)
