"""Checkpoints in the official layouts, with the deterministic weights of the parity fixtures.

    tools/write_checkpoint.py FOLDER                 network, retrieval head, codebook; full size, 3 GB
    tools/write_checkpoint.py FOLDER --tiny          the small configuration of the fixtures, 0.2 GB
    tools/write_checkpoint.py FOLDER --form hub      the network as config.json and model.safetensors

FOLDER can then be given as the weights folder of a run: everything works, but the weights are random.
"""

import argparse
import json
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import ALIASES, expected_shapes
from sfm.mast3r.weights.weights import HUB_CONFIG, HUB_WEIGHTS, OFFICIAL_FILES, WeightsKind
from tools.bench.parity import recipe

Arguments = dict[str, object]
"""Arguments of the network's constructor, as a checkpoint has them."""

INF = float("inf")
OFFICIAL: Arguments = {
    "pos_embed": "RoPE100",
    "patch_embed_cls": "ManyAR_PatchEmbed",
    "img_size": (512, 512),
    "head_type": "catmlp+dpt",
    "output_mode": "pts3d+desc24",
    "depth_mode": ("exp", -INF, INF),
    "conf_mode": ("exp", 1, INF),
    "enc_embed_dim": 1024,
    "enc_depth": 24,
    "enc_num_heads": 16,
    "dec_embed_dim": 768,
    "dec_depth": 12,
    "dec_num_heads": 12,
    "two_confs": True,
    "desc_conf_mode": ("exp", 0, INF),
}
TINY: Arguments = OFFICIAL | {
    "img_size": (64, 64),
    "enc_embed_dim": 128,
    "enc_depth": 4,
    "enc_num_heads": 4,
    "dec_embed_dim": 96,
    "dec_num_heads": 4,
}
"""The small network of the parity fixtures."""
TINY_DUST3R: Arguments = {
    **{name: value for name, value in TINY.items() if name not in ("two_confs", "desc_conf_mode")},
    "head_type": "linear",
    "output_mode": "pts3d",
}
"""A small network of DUSt3R's."""


def model_call(arguments: Mapping[str, object]) -> str:
    """The constructor call that a checkpoint holds as text."""
    family = "AsymmetricMASt3R" if arguments["head_type"] == "catmlp+dpt" else "AsymmetricCroCo3DStereo"
    return f"{family}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def network_state(arguments: Mapping[str, object], seed: int = 0) -> OrderedDict[str, torch.Tensor]:
    """Weights by the names of a checkpoint; both names of a tensor share its memory."""
    shapes = expected_shapes(from_hub_config(arguments))
    state = OrderedDict(
        (name, torch.from_numpy(array))
        for name, array in recipe.state_dict(
            {name: shape for name, shape in shapes.items() if name not in ALIASES}, seed
        ).items()
    )
    state.update({alias: state[name] for alias, name in ALIASES.items() if name in state})
    return state


def write_network(
    path: Path, arguments: Mapping[str, object], state: Mapping[str, torch.Tensor], **others: object
) -> Path:
    """A `.pth` as training writes it; `others` are stored beside `args` and `model`."""
    args = argparse.Namespace(model=model_call(arguments), output_dir="checkpoints", lr=1e-4, seed=0)
    torch.save({"args": args, "model": OrderedDict(state), "epoch": 10, **others}, path)
    return path


def write_hub_network(
    folder: Path, arguments: Mapping[str, object], state: Mapping[str, torch.Tensor]
) -> Path:
    """`config.json` and `model.safetensors` as huggingface_hub writes them; the folder.

    The configuration spells out the constructor's default `desc_mode`, has infinity as a bare word, and each
    tensor has one name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {"desc_mode": "norm", **arguments}
    (folder / HUB_CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    unique = {name: tensor for name, tensor in state.items() if name not in ALIASES}
    save_file(unique, folder / HUB_WEIGHTS, {"format": "pt"})
    return folder


def write_retrieval_head(path: Path, dim: int, *, num_words: object = "64k", seed: int = 0) -> Path:
    """The retrieval head without training: whitening alone, float64."""
    args = argparse.Namespace(
        pretrained="MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric.pth",
        freeze_backbone=True,
        prewhiten=True,
        hdims="",
        residual=False,
        postwhiten=None,
        featweights="l2norm",
        nfeat=300,
        imsize=512,
        nclusters=num_words,
    )
    weights = recipe.retrieval_weights(dim, seed)
    torch.save({"args": args, "model": {name: torch.from_numpy(w) for name, w in weights.items()}}, path)
    return path


def write_codebook(
    path: Path, centroids: NDArray[np.floating], *, size: object = None, protocol: int = 4
) -> Path:
    """The codebook as the `asmk` package saves it."""
    size = len(centroids) if size is None else size
    content = {"type": "Codebook", "params": {"size": size}, "state": {"centroids": centroids}}
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def main() -> None:
    """Write all files under their official names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--form", choices=("pth", "hub"), default="pth")
    parser.add_argument("--words", type=int, help="size of the codebook; 65536, or 1024 with --tiny")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    arguments = TINY if options.tiny else OFFICIAL
    words = options.words or (1024 if options.tiny else 65536)
    names = {file.kind: options.folder / file.name for file in OFFICIAL_FILES}
    options.folder.mkdir(parents=True, exist_ok=True)
    state = network_state(arguments, options.seed)
    if options.form == "pth":
        write_network(names[WeightsKind.NETWORK], arguments, state)
    else:
        write_hub_network(names[WeightsKind.NETWORK].with_suffix(""), arguments, state)
    dim = from_hub_config(arguments).encoder_dim
    write_retrieval_head(names[WeightsKind.RETRIEVAL], dim, num_words=words, seed=options.seed)
    write_codebook(names[WeightsKind.CODEBOOK], recipe.weight("codebook", (words, dim), options.seed))


if __name__ == "__main__":
    main()
