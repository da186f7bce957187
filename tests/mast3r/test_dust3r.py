"""DUSt3R's checkpoints: read in each form, equal to the published code, and used by a run."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import safe_open
from torch import nn

from sfm.mast3r.network.architecture import ArchitectureError, NetworkArchitecture
from sfm.mast3r.network.correspondences import match_points, merge_directions
from sfm.mast3r.network.network import Mast3rNetwork
from sfm.mast3r.network.network_predictor import NetworkPredictor
from sfm.mast3r.network.predictor import NetworkPhoto
from sfm.mast3r.weights.checkpoint import load_network_checkpoint, network_names
from sfm.mast3r.weights.model_call import from_hub_config, parse_model_call
from tools.write_checkpoint import OFFICIAL, TINY, TINY_DUST3R, model_call, network_state, write_network

INF = float("inf")
PUBLISHED = (
    "AsymmetricCroCo3DStereo(pos_embed='RoPE100', img_size=(224, 224), head_type='linear', "
    "output_mode='pts3d', depth_mode=('exp', -inf, inf), conf_mode=('exp', 1, inf), enc_embed_dim=1024, "
    "enc_depth=24, enc_num_heads=16, dec_embed_dim=768, dec_depth=12, dec_num_heads=12)"
)


def test_descriptions_of_both_heads_are_read() -> None:
    linear = parse_model_call(PUBLISHED)
    dense = parse_model_call(PUBLISHED.replace("'linear'", "'dpt'"))

    assert linear == NetworkArchitecture(
        head="linear", descriptor_dim=0, two_confs=False, desc_conf_floor=1.0
    )
    assert dense.head == "dpt"
    assert not linear.has_descriptors


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("AsymmetricCroCo3DStereo", "AsymmetricMASt3R", "does not have head_type linear"),
        ("'pts3d'", "'pts3d+desc24'", "head_type linear gives no descriptors"),
        ("'linear'", "'cubic'", "head_type"),
        ("'linear'", "'catmlp+dpt'", "descriptor_dim is 0"),
        ("dec_depth=12", "dec_depth=12, code=1", "code: unknown"),
    ],
)
def test_descriptions_that_contradict_themselves_are_refused(old: str, new: str, reason: str) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        parse_model_call(PUBLISHED.replace(old, new))


def test_a_linear_head_needs_no_deep_decoder() -> None:
    shallow = from_hub_config({**TINY_DUST3R, "dec_depth": 2})
    tensors = network_state({**TINY_DUST3R, "dec_depth": 2})
    network = Mast3rNetwork.from_tensors(shallow, tensors)
    tokens = network.encode(torch.zeros(1, 3, 32, 48))

    points, confidence = network.points(1, network.decode(tokens, (32, 48), tokens, (32, 48))[0])

    assert points.shape == (1, 32, 48, 3)
    assert bool((confidence > 1).all())
    with pytest.raises(ValueError, match="no descriptors"):
        network.descriptors(1, network.decode(tokens, (32, 48), tokens, (32, 48))[0])


def test_a_checkpoint_in_the_authors_form_is_read(tmp_path: Path) -> None:
    state = network_state(TINY_DUST3R)
    path = write_network(tmp_path / "DUSt3R.pth", TINY_DUST3R, state)

    architecture, tensors = load_network_checkpoint(path)

    assert architecture == parse_model_call(model_call(TINY_DUST3R))
    assert set(tensors) == set(network_names(architecture))
    assert torch.equal(tensors["downstream_head2.proj.weight"], state["downstream_head2.proj.weight"])


class _Holder(nn.Module):
    """Holds tensors by their dotted names, as modules of a network do; two names may share one."""

    def hold(self, tensors: Mapping[str, torch.Tensor]) -> None:
        parameters: dict[int, nn.Parameter] = {}
        for name, tensor in tensors.items():
            *path, last = name.split(".")
            inside: nn.Module = self
            for part in path:
                if part not in inside._modules:
                    inside.add_module(part, _Holder())
                inside = inside.get_submodule(part)
            parameter = parameters.setdefault(tensor.data_ptr(), nn.Parameter(tensor))
            inside.register_parameter(last, parameter)


class _Dust3r(_Holder, PyTorchModelHubMixin):
    """The constructor as DUSt3R has it."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        output_mode="pts3d",
        head_type="linear",
        depth_mode=("exp", -INF, INF),
        conf_mode=("exp", 1, INF),
        freeze="none",
        landscape_only=True,
        patch_embed_cls="PatchEmbedDust3R",
        **croco_kwargs,
    ) -> None:
        super().__init__()
        given = {"head_type": head_type, "output_mode": output_mode, **croco_kwargs}
        self.hold(network_state({**given, "depth_mode": depth_mode, "conf_mode": conf_mode}))


class _Mast3r(_Dust3r):
    """The constructor as MASt3R has it: its own options, and the rest for DUSt3R's."""

    def __init__(self, desc_mode="norm", two_confs=False, desc_conf_mode=None, **kwargs) -> None:  # type: ignore[no-untyped-def]
        given = {"desc_mode": desc_mode, "two_confs": two_confs, "desc_conf_mode": desc_conf_mode}
        super().__init__(**given, **kwargs)


@pytest.mark.parametrize(
    ("published", "arguments"),
    [(_Mast3r, TINY), (_Dust3r, TINY_DUST3R), (_Dust3r, {**TINY_DUST3R, "head_type": "dpt"})],
)
def test_what_the_hubs_mixin_wrote_is_read(
    tmp_path: Path, published: type[_Dust3r], arguments: dict[str, object]
) -> None:
    model = published(**arguments)  # type: ignore[arg-type]

    model.save_pretrained(tmp_path / "model")

    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["head_type"] == arguments["head_type"]
    architecture, tensors = load_network_checkpoint(tmp_path / "model")
    assert architecture == from_hub_config(arguments)
    assert set(tensors) == set(network_names(architecture))
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors.items())


def test_the_hubs_mixin_wrote_each_tensor_once_itself(tmp_path: Path) -> None:
    """The weights are the mixin's own work, which drops one of two names of a tensor."""
    _Mast3r(**TINY).save_pretrained(tmp_path)  # type: ignore[arg-type]

    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        names, told = set(stored.keys()), stored.metadata()
    assert "_save_pretrained" not in {name for kind in (_Mast3r, _Dust3r, _Holder) for name in vars(kind)}
    twice = [name for name in network_state(TINY) if name not in names]
    assert len(twice) == 8
    assert all(told[name] in names for name in twice)


def test_matches_by_points_are_mutual_and_have_the_lesser_confidence() -> None:
    chance = np.random.default_rng(0)
    points = torch.from_numpy(chance.random((16, 24, 3)))
    moved = points.flip(1)
    certain = torch.from_numpy(1 + chance.random((16, 24)))

    found = merge_directions(match_points((points, certain), (moved, certain.flip(1) + 1), subsample=1))

    assert len(found.confidence) == 16 * 24
    assert (found.xy_a[:, 0] == 23 - found.xy_b[:, 0]).all()
    x, y = found.xy_a.T
    np.testing.assert_allclose(found.confidence, certain.numpy()[y, x], rtol=1e-6)


def test_points_that_are_not_finite_match_nothing() -> None:
    points = torch.rand(8, 8, 3)
    points[:4] = torch.nan
    found = merge_directions(
        match_points((points, torch.ones(8, 8)), (points, torch.ones(8, 8)), subsample=1)
    )

    assert found.xy_a[:, 1].min() == 4
    assert len(found.confidence) == 32


def test_the_predictor_says_that_it_has_neither_descriptors_nor_metres() -> None:
    architecture = from_hub_config(TINY_DUST3R)
    predictor = NetworkPredictor(Mast3rNetwork.from_tensors(architecture, network_state(TINY_DUST3R)), "tiny")
    photo = NetworkPhoto("a.jpg", np.zeros((32, 48, 3), np.uint8))

    assert predictor.encode([photo]).shape == (1, 6, 128)
    assert not predictor.has_descriptors
    assert not predictor.is_metric


def test_the_published_network_gives_the_same(shared_parity: Path) -> None:
    from parity import dust3r

    found = list(dust3r.cases(shared_parity))
    assert len(found) == 30
    assert [case.name for case in found if not case.passed] == []


def test_the_official_description_is_that_of_mast3r() -> None:
    assert parse_model_call(model_call(OFFICIAL)).has_descriptors
