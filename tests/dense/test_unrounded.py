"""Tokens reach the decoder without a digit less than its precision asks for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from sfm.cli import main
from sfm.mast3r.network.network import Mast3rNetwork
from sfm.mast3r.network.network_predictor import NetworkPairs, NetworkPredictor
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto
from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import expected_shapes
from tools.write_checkpoint import TINY, write_hub_network

SIZE = 64


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights in the hub's form, as PyTorch's layers start from."""
    torch.manual_seed(0)
    architecture = from_hub_config(TINY)
    state = dict(Mast3rNetwork(architecture).state_dict())
    missing = expected_shapes(architecture).items() - {(n, tuple(t.shape)) for n, t in state.items()}
    state |= {name: torch.zeros(shape) for name, shape in missing}
    return write_hub_network(tmp_path_factory.mktemp("network"), TINY, state)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        small = chance.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((2 * SIZE, 3 * SIZE // 2), Image.Resampling.BICUBIC).save(folder / name)
    return folder


Call = tuple[Sequence[EncodedPhoto], NetworkPairs]


@pytest.mark.parametrize(("precision", "kept"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_decoder_gets_what_the_encoder_gave(
    precision: str, kept: torch.dtype, network: Path, photos: Path, tmp_path: Path, monkeypatch
) -> None:
    calls: list[Call] = []
    encoded: dict[str, torch.Tensor] = {}
    predictors: list[NetworkPredictor] = []
    encode, decode = NetworkPredictor.encode, NetworkPredictor.decode

    def seen_encode(self: NetworkPredictor, given: Sequence[NetworkPhoto]) -> torch.Tensor:
        tokens = encode(self, given)
        encoded.update({photo.name: rows for photo, rows in zip(given, tokens, strict=True)})
        predictors.append(self)
        return tokens

    def seen_decode(self: NetworkPredictor, first, second) -> NetworkPairs:
        pairs = decode(self, first, second)
        calls.append(((*first, *second), pairs))
        return pairs

    monkeypatch.setattr(NetworkPredictor, "encode", seen_encode)
    monkeypatch.setattr(NetworkPredictor, "decode", seen_decode)
    command = ["match", str(photos), "-o", str(tmp_path / "out"), "--threads", "1", "-q", "backend=mast3r"]
    command += [f"mast3r.weights={network}", f"mast3r.precision={precision}", "mast3r.device=cpu"]
    command += [f"mast3r.image_size={SIZE}"]

    for options in (
        (),
        ("internal.mast3r.min_confidence=0.5",),
    ):  # the second time, tokens come from the disk
        done = CliRunner().invoke(main, [*command, *options])
        assert "Traceback" not in done.output

    assert len(calls) >= 2
    assert sorted(encoded) == ["a.png", "b.png"]
    for names, pairs in calls:
        assert {photo.tokens.dtype for photo in names} == {kept}
        exact = [EncodedPhoto(p.name, encoded[p.name], p.size) for p in names]
        direct = decode(predictors[0], exact[:1], exact[1:])
        for view in (1, 2):
            for ours, expected in (
                (pairs.descriptors(view)[0], direct.descriptors(view)[0]),
                (pairs.points(view)[0], direct.points(view)[0]),
            ):
                distance = float((ours - expected).abs().max() / expected.abs().max())
                assert distance < (1e-5 if precision == "fp32" else 0.1)
