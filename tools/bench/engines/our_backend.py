"""Which backend a run of ours has on this machine, and what of the machine its result depends on."""

from collections.abc import Sequence
from dataclasses import dataclass

from sfm.config.loading import load_config
from sfm.config.schema import Mast3rConfig
from sfm.errors import MissingDependencyError, WeightsError


@dataclass(frozen=True, slots=True)
class OurBackend:
    """A backend, and what it would run on and with."""

    name: str
    """`sift` or `mast3r`: `auto` is resolved as a run resolves it."""
    device: str
    """`cpu`, or the GPU's name; `none` where this machine lacks the one that is asked for."""
    depends_on: tuple[object, ...] = ()
    """Further things that change its result; nothing for SIFT, which every machine runs alike."""


def our_backend(options: Sequence[str]) -> OurBackend:
    """The backend of a run with these overrides, `KEY=VALUE`, now and here."""
    from sfm.matching.dense.availability import why_not  # torch is loaded only where there are weights

    config = load_config(overrides=options)
    try:
        wants_network = config.backend == "mast3r" or (
            config.backend == "auto" and not why_not(config.mast3r)
        )
    except WeightsError:  # the run says it better
        wants_network = False
    return _mast3r(config.mast3r) if wants_network else OurBackend("sift", "cpu")


def _mast3r(config: Mast3rConfig) -> OurBackend:
    import torch

    from sfm.matching.device import choose_device

    if config.oracle is not None:  # drawn from a scene's truth, in the network's place
        return OurBackend("mast3r", "cpu", ("oracle",))
    try:
        device = choose_device(config.device, "mast3r.device").type
    except MissingDependencyError:
        device = "none"
    told = torch.cuda.get_device_name() if device == "cuda" else device
    return OurBackend("mast3r", told, (torch.__version__, *_weights(config)))


def _weights(config: Mast3rConfig) -> tuple[object, ...]:
    """Path, size and time of each official file that is there: those that come later are other weights."""
    from sfm.mast3r.weights.weights import find_weights, given_weights, weights_folder

    try:
        there = find_weights(weights_folder(config.weights_dir), given_weights(config.weights))
        files = [found.path for found in there if found.path]
    except WeightsError:
        return ()
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
