"""Descriptions of networks are parsed and never run; the tensors they imply are those of real checkpoints."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.mast3r.network.architecture import OFFICIAL, ArchitectureError, NetworkArchitecture
from sfm.mast3r.weights.model_call import from_hub_config, parse_model_call
from sfm.mast3r.weights.tensor_shapes import ALIASES, expected_shapes

PUBLISHED = (
    "AsymmetricMASt3R(pos_embed='RoPE100', patch_embed_cls='ManyAR_PatchEmbed', img_size=(512, 512), "
    "head_type='catmlp+dpt', output_mode='pts3d+desc24', depth_mode=('exp', -inf, inf), "
    "conf_mode=('exp', 1, inf), enc_embed_dim=1024, enc_depth=24, enc_num_heads=16, dec_embed_dim=768, "
    "dec_depth=12, dec_num_heads=12, two_confs=True, desc_conf_mode=('exp', 0, inf))"
)
HUB = {
    "pos_embed": "RoPE100",
    "patch_embed_cls": "PatchEmbedDust3R",
    "img_size": [512, 512],
    "head_type": "catmlp+dpt",
    "output_mode": "pts3d+desc24",
    "depth_mode": ["exp", "-inf", "inf"],
    "conf_mode": ["exp", 1, math.inf],
    "enc_embed_dim": 1024,
    "enc_depth": 24,
    "enc_num_heads": 16,
    "dec_embed_dim": 768,
    "dec_depth": 12,
    "dec_num_heads": 12,
    "two_confs": True,
    "desc_conf_mode": ["exp", 0, "inf"],
    "landscape_only": False,
}


def edited(old: str, new: str) -> str:
    assert old in PUBLISHED
    return PUBLISHED.replace(old, new)


def test_the_published_description() -> None:
    assert parse_model_call(PUBLISHED) == OFFICIAL == from_hub_config(HUB)
    assert parse_model_call(f"\n {PUBLISHED[:-1]}, landscape_only = True)\n") == OFFICIAL
    assert parse_model_call(edited("ManyAR_PatchEmbed", "PatchEmbedDust3R")) == OFFICIAL


def test_every_size_is_read() -> None:
    text = edited("enc_depth=24", "enc_depth=3").replace("dec_depth=12", "dec_depth=16")
    text = text.replace("desc24", "desc16").replace("RoPE100", "RoPE50.5")
    text = text.replace("('exp', 1, inf)", "('exp', 2, inf)").replace("('exp', 0, inf)", "('exp', 0.5, inf)")
    found = parse_model_call(text)

    assert found == NetworkArchitecture(
        encoder_depth=3,
        decoder_depth=16,
        descriptor_dim=16,
        rope_base=50.5,
        conf_floor=2,
        desc_conf_floor=0.5,
    )
    assert found.hooks == (0, 8, 12, 16)


def test_silence_means_the_authors_defaults() -> None:
    found = parse_model_call(
        "AsymmetricMASt3R(pos_embed='RoPE100', head_type='catmlp+dpt', output_mode='pts3d+desc24', "
        "dec_depth=12)"
    )

    assert found == NetworkArchitecture(768, 12, 12, 512, 12, 16, two_confs=False, desc_conf_floor=1.0)
    assert found.local_feature_channels == 24


def test_parameters_of_the_official_network() -> None:
    shapes = expected_shapes(OFFICIAL)

    assert len(shapes) == 1017
    assert len(ALIASES) == 8
    assert sum(math.prod(shape) for name, shape in shapes.items() if name not in ALIASES) == 688_638_856


@pytest.mark.shared
@pytest.mark.parametrize("manifest", ["manifest_vitlarge_catmlpdpt.json", "tiny/manifest.json"])
def test_tensors_are_those_of_the_manifest(shared_parity, manifest) -> None:
    content = json.loads((shared_parity / manifest).read_text())

    expected = {name: tuple(entry["shape"]) for name, entry in content["params"].items()}
    assert expected_shapes(from_hub_config(content["config"])) == expected


def test_tensors_are_those_of_the_stored_manifest(parity_data) -> None:
    content = json.loads((parity_data / "tiny" / "manifest.json").read_text())

    expected = {name: tuple(entry["shape"]) for name, entry in content["params"].items()}
    assert expected_shapes(from_hub_config(content["config"])) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a constructor call"),
        ("__import__('os').system('true')", "not a call of AsymmetricMASt3R"),
        ("AsymmetricMASt3R", "not a call of"),
        ("lambda: AsymmetricMASt3R()", "not a call of"),
        ("AsymmetricMASt3R()()", "not a call of"),
        ("module.AsymmetricMASt3R()", "not a call of"),
        ("AsymmetricCroCo3DStereo(enc_depth=24)", "not a call of"),
        ("AsymmetricMASt3R(); print()", "not a constructor call"),
        ("AsymmetricMASt3R('RoPE100')", "keyword arguments"),
        ("AsymmetricMASt3R(*[1])", "keyword arguments"),
        ("AsymmetricMASt3R(**{'enc_depth': 1})", r"`\*\*`"),
        ("AsymmetricMASt3R(enc_depth=1, enc_depth=2)", "twice"),
        ("AsymmetricMASt3R(" * 500, "characters long|not a constructor call"),
        ("AsymmetricMASt3R(enc_depth=" + "(" * 3000 + ")", "not a constructor call"),
        ("AsymmetricMASt3R(enc_depth=" + "-" * 3900 + "1)", "not a constructor call|plain value"),
        ("AsymmetricMASt3R(pos_embed='" + "x" * 10_000, "10028 characters"),
        ("AsymmetricMASt3R(\0)", "not a constructor call"),
        ("AsymmetricMASt3R()", "pos_embed is missing"),
        (edited("head_type='catmlp+dpt', ", ""), "head_type is missing"),
        (edited("output_mode='pts3d+desc24', ", ""), "output_mode is missing"),
        (edited("dec_depth=12, ", ""), "decoder_depth is 8"),
        (edited("enc_depth=24", "enc_depth=__import__('os').getpid()"), "enc_depth must be a plain value"),
        (edited("enc_depth=24", "enc_depth=[x for x in (24,)][0]"), "plain value"),
        (edited("enc_depth=24", "enc_depth=2 ** 9999999"), "plain value"),
        (edited("enc_depth=24", "enc_depth=inf"), "enc_depth must be a whole number"),
        (edited("enc_depth=24", "enc_depth=24.5"), "whole number"),
        (edited("enc_depth=24", "enc_depth=True"), "whole number"),
        (edited("enc_depth=24", "enc_depth='24'"), "whole number"),
        (edited("enc_depth=24", "enc_depth=-'24'"), "must be a plain value"),
        (edited("enc_depth=24", "enc_depth=-1"), "encoder_depth is -1, must be 1 to 64"),
        (edited("enc_depth=24", "enc_depth=65"), "must be 1 to 64"),
        (edited("enc_depth=24", "enc_depth=0x" + "f" * 3600), "whole number, not an enormous int"),
        (edited("enc_embed_dim=1024", "enc_embed_dim=1000000"), "must be 1 to 4096"),
        (edited("enc_num_heads=16", "enc_num_heads=15"), "multiple of 4 x 15 heads"),
        (edited("dec_depth=12", "dec_depth=9"), "10 or more"),
        (edited("desc24", "desc0"), "descriptor_dim"),
        (edited("desc24", "desc999999999"), "descriptor_dim"),
        (edited("pts3d+desc24", "pts3d"), "output_mode must be like"),
        (edited("catmlp+dpt", "linear"), "head_type must be like"),
        (edited("RoPE100", "cosine"), "pos_embed must be like"),
        (edited("RoPE100", "RoPE1"), "RoPE base"),
        (edited("RoPE100", "RoPE\u0663\u0661"), "pos_embed must be like"),
        (edited("ManyAR_PatchEmbed", "Other"), "patch_embed_cls must be"),
        (edited("('exp', -inf, inf)", "('linear', -inf, inf)"), "depth_mode must be"),
        (edited("('exp', -inf, inf)", "('exp', 0, inf)"), "depth_mode must be"),
        (edited("('exp', 1, inf)", "('exp', 1, 5)"), "conf_mode must be"),
        (edited("('exp', 1, inf)", "('exp', -inf, inf)"), "conf_floor must be"),
        (edited("('exp', 1, inf)", "('exp', (1, 2), inf)"), r"conf_mode: \(1, 2\) is not a number"),
        (edited("('exp', 1, inf)", "('exp', 0x" + "f" * 3600 + ", inf)"), "is not a number"),
        (edited("two_confs=True", "two_confs=1"), "two_confs must be"),
        (edited("two_confs=True", "patch_size=14"), "patch_size must be 16"),
        (edited("two_confs=True", "frozen='all', colour=3"), "unknown arguments colour, frozen"),
        (edited("two_confs=True", "freeze='encoder'"), "freeze must be 'none', not encoder"),
        (edited("two_confs=True", "desc_mode=('norm', 1)"), "desc_mode must be 'norm'"),
    ],
)
def test_descriptions_that_are_refused(text, reason) -> None:
    with pytest.raises(ArchitectureError, match=reason) as caught:
        parse_model_call(text)

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"enc_depth": None}, "whole number"),
        ({"enc_depth": [24]}, "whole number"),
        ({"enc_depth": math.nan}, "whole number"),
        ({"conf_mode": {"exp": 1}}, "conf_mode must be"),
        ({"conf_mode": ["exp", "zero", "inf"]}, "not a number"),
        ({"conf_mode": ["exp", "nan", "inf"]}, "conf_floor"),
        ({"pos_embed": 100}, "pos_embed must be like"),
        ({"croco_kwargs": {}}, "unknown arguments croco_kwargs"),
        ({"desc_mode": "none"}, "desc_mode must be 'norm', not none"),
        ({"desc_mode": None}, "desc_mode must be 'norm', not None"),
        ({"desc_mode": ["norm"]}, "desc_mode must be 'norm'"),
        ({"freeze": "mask"}, "freeze must be 'none', not mask"),
        ({"freeze": None}, "freeze must be 'none'"),
        ({"freeze": False}, "freeze must be 'none'"),
        ({"license": "x", "act_layer": "ReLU"}, "unknown arguments act_layer"),
    ],
)
def test_hub_configurations_that_are_refused(change, reason) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        from_hub_config(HUB | change)


@pytest.mark.parametrize("spelt_out", [{"desc_mode": "norm"}, {"freeze": "none"}])
def test_defaults_that_the_hubs_writer_spells_out(spelt_out) -> None:
    assert from_hub_config(HUB | spelt_out) == OFFICIAL
    (argument,) = (f"{name}={value!r}" for name, value in spelt_out.items())
    assert parse_model_call(edited("two_confs=True", f"two_confs=True, {argument}")) == OFFICIAL


def test_what_a_hub_says_of_the_file_is_passed_over(caplog) -> None:
    assert from_hub_config(HUB | {"license": "cc", "tags": ["x"], "repo_url": "y"}) == from_hub_config(HUB)
    assert "license, repo_url, tags" in caplog.text


@given(
    st.text()
    | st.text(alphabet="AsymetricMASt3R()=,'*-0123456789 inf[]").map(lambda s: f"AsymmetricMASt3R({s})")
)
def test_any_text_is_understood_or_refused(text) -> None:
    try:
        found = parse_model_call(text)
    except ArchitectureError:
        return
    assert isinstance(found, NetworkArchitecture)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), st.lists, max_leaves=4
)


@given(
    st.dictionaries(st.sampled_from([*HUB, "mlp_ratio", "patch_size", "desc_mode", "freeze"]), json_values)
)
def test_any_configuration_is_understood_or_refused(change) -> None:
    try:
        found = from_hub_config(HUB | change)
    except ArchitectureError:
        return
    assert all(getattr(found, field.name) is not None for field in fields(found))
