"""The network that a run uses: official weights on a device, or the oracle of the tests."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from retrieval.codebook import Codebook
from sfm.config.schema import Mast3rConfig
from sfm.errors import WeightsError
from sfm.mast3r.network.predictor import PairPredictor
from sfm.mast3r.weights.licence import LICENCE_NOTICE
from sfm.matching.device import choose_device

if TYPE_CHECKING:
    from sfm.mast3r.network.architecture import NetworkArchitecture
    from sfm.mast3r.network.retrieval_weights import RetrievalHeadWeights
    from sfm.mast3r.weights.weights_store import WeightsStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network ready to use, with what came with it."""

    predictor: PairPredictor
    codebook: Codebook | None
    notice: str
    """The licence of the weights, or that there were none."""
    head_key: str = ""
    """Identity of the retrieval head; empty where retrieval must learn its whitening from the photos."""
    codebook_key: str = ""
    """Identity of the visual words that came with the network; empty where there are none."""


def open_predictor(config: Mast3rConfig) -> Loaded:
    """The network or its double.

    Raises:
        WeightsError: weights missing or unusable.
        MissingDependencyError: this machine lacks the device.
        InputError: the oracle's folder cannot be used.
    """
    if config.oracle is not None:
        from sfm.mast3r.oracle.oracle import OracleOptions, OraclePredictor

        log.warning(
            "internal.mast3r.oracle: the ground truth of %s answers in place of the network", config.oracle
        )
        notice = (
            "The ground truth of a rendered scene answered in place of the network (internal.mast3r.oracle)."
        )
        options = OracleOptions(
            wrong_matches=config.oracle_wrong_matches, sky_distance=config.oracle_sky
        ).noisier(config.oracle_noise)
        oracle = OraclePredictor(Path(config.oracle), size=config.image_size, options=options)
        return Loaded(oracle, None, notice, head_key="oracle")
    return _open_network(config, choose_device(config.device, "mast3r.device"))


def _open_network(config: Mast3rConfig, device: torch.device) -> Loaded:
    from sfm.mast3r.network.network import Mast3rNetwork
    from sfm.mast3r.network.network_predictor import NetworkPredictor
    from sfm.mast3r.network.retrieval_head import RetrievalHead
    from sfm.mast3r.weights.weights import given_weights, weights_folder
    from sfm.mast3r.weights.weights_store import WeightsStore

    store = WeightsStore(weights_folder(config.weights_dir), given_weights(config.weights))
    stored = store.network()
    trained_px = stored.architecture.trained_px
    if 0 < trained_px < config.image_size:
        log.warning(
            "the weights were trained on images of %d px: mast3r.image_size=%d fits them, not %d",
            trained_px,
            trained_px,
            config.image_size,
        )
    (head, head_key), (codebook, codebook_key) = _retrieval_weights(store, stored.architecture)
    dtype = choose_dtype(config.precision, device)
    network = Mast3rNetwork.from_tensors(stored.architecture, stored.tensors).to(device)
    # Descriptors follow the transformer; points, which are exponentials, need every digit.
    network.set_precision(dtype, descriptors=dtype)
    if config.compile:
        if not log.isEnabledFor(logging.WARNING):
            hush_compiler()
        network.compile_blocks()
    if notice := store.show_once():
        log.warning("%s", notice)
    log.info("mast3r on %s, %s", device, str(dtype).removeprefix("torch."))
    if head is None:
        log.info("retrieval head not found; whitening is learned from the photos")
    key = f"{stored.key[:16]}-{str(dtype).removeprefix('torch.')}"
    predictor = NetworkPredictor(network, key, retrieval_head=None if head is None else RetrievalHead(head))
    return Loaded(predictor, codebook, LICENCE_NOTICE, head_key, codebook_key)


def _retrieval_weights(
    store: WeightsStore, architecture: NetworkArchitecture
) -> tuple[tuple[RetrievalHeadWeights | None, str], tuple[Codebook | None, str]]:
    """The retrieval head and its words, where they are there, each with the identity of its file.

    Raises:
        WeightsError: they cannot be used, or belong to another network; raised before photos are matched.
    """
    from sfm.mast3r.weights.weights import Origin, WeightsKind

    network, retrieval, words = (store.found(kind) for kind in WeightsKind)
    none = (None, ""), (None, "")
    if retrieval.path is None:
        return none
    head = store.retrieval_head()
    # The official words belong to the official whitening.
    codebook = store.codebook() if words.path is not None else none[1]
    try:
        store.require_fit(architecture, head[0], codebook[0])
    except WeightsError as error:
        if network.origin is not Origin.OPTION or retrieval.origin is Origin.OPTION:
            raise
        log.warning("%s: left out", error)
        return none
    return head, codebook


def hush_compiler() -> None:
    """Keep PyTorch's compiler from warning past `-q`: it has handlers of its own."""
    torch._logging.set_logs(all=logging.ERROR)  # type: ignore[attr-defined]
    warnings.filterwarnings("ignore", module=r"torch\.")


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Type of the transformer's arithmetic."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
