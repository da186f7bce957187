"""Descriptions of networks are parsed and never run; the tensors they imply are those of real checkpoints."""

import json
import math
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfm.mast3r.network.architecture import ArchitectureError, NetworkArchitecture
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
    assert parse_model_call(PUBLISHED) == NetworkArchitecture() == from_hub_config(HUB)
    assert parse_model_call(f"\n {PUBLISHED[:-1]}, landscape_only = True)\n") == NetworkArchitecture()
    assert parse_model_call(edited("ManyAR_PatchEmbed", "PatchEmbedDust3R")) == NetworkArchitecture()


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
    shapes = expected_shapes(NetworkArchitecture())

    assert len(shapes) == 1017
    assert len(ALIASES) == 8
    assert sum(math.prod(shape) for name, shape in shapes.items() if name not in ALIASES) == 688_638_856


@pytest.mark.shared
@pytest.mark.parametrize("manifest", ["manifest_vitlarge_catmlpdpt.json", "tiny/manifest.json"])
def test_tensors_are_those_of_the_manifest(shared_parity, manifest) -> None:
    assert_holds_what_it_describes(shared_parity / manifest)


def test_tensors_are_those_of_the_stored_manifest(parity_data) -> None:
    assert_holds_what_it_describes(parity_data / "tiny" / "manifest.json")


def assert_holds_what_it_describes(manifest: Path) -> None:
    content = json.loads(manifest.read_text())
    expected = {name: tuple(entry["shape"]) for name, entry in content["params"].items()}
    assert expected_shapes(from_hub_config(content["config"])) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "__import__('os').system('true')", "AsymmetricMASt3R", "lambda: AsymmetricMASt3R()"),
        *("AsymmetricMASt3R()()", "module.AsymmetricMASt3R()", "AsymmetricCroCo3DStereo(enc_depth=24)"),
        *("AsymmetricMASt3R(); print()", "AsymmetricMASt3R('RoPE100')", "AsymmetricMASt3R(*[1])"),
        *("AsymmetricMASt3R(**{'enc_depth': 1})", "AsymmetricMASt3R(enc_depth=1, enc_depth=2)"),
        *("AsymmetricMASt3R(" * 500, "AsymmetricMASt3R(enc_depth=" + "(" * 3000 + ")"),
        *("AsymmetricMASt3R(enc_depth=" + "-" * 3900 + "1)", "AsymmetricMASt3R(\0)"),
        "AsymmetricMASt3R(pos_embed='" + "x" * 10_000,
        *(edited("enc_depth=24", f"enc_depth={code}") for code in ("os.getpid()", "[x for x in (24,)][0]")),
        *(edited("enc_depth=24", f"enc_depth={code}") for code in ("2 ** 9999999", "-'24'", "eval('24')")),
    ],
)
def test_what_is_no_plain_call_is_refused(text) -> None:
    with pytest.raises(ArchitectureError, match="network description: ") as caught:
        parse_model_call(text)

    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AsymmetricMASt3R()", "pos_embed: missing"),
        (edited("head_type='catmlp+dpt', ", ""), "head_type: missing"),
        (edited("output_mode='pts3d+desc24', ", ""), "output_mode: missing"),
        (edited("dec_depth=12, ", ""), "decoder_depth is 8"),
        *((edited("enc_depth=24", f"enc_depth={n}"), "enc_depth: ") for n in ("inf", "24.5", "True", "'24'")),
        (edited("enc_depth=24", "enc_depth=-1"), "encoder_depth is -1, must be 1 to 64"),
        (edited("enc_depth=24", "enc_depth=65"), "must be 1 to 64"),
        (edited("enc_depth=24", "enc_depth=0x" + "f" * 3600), "an integer of more than 60 digits"),
        (edited("enc_embed_dim=1024", "enc_embed_dim=1000000"), "must be 1 to 4096"),
        (edited("enc_num_heads=16", "enc_num_heads=15"), "multiple of 4 x 15 heads"),
        (edited("dec_depth=12", "dec_depth=9"), "10 or more"),
        (edited("desc24", "desc0"), "descriptor_dim"),
        (edited("desc24", "desc999999999"), "descriptor_dim"),
        (edited("pts3d+desc24", "pts3d"), "descriptor_dim is 0"),
        (edited("catmlp+dpt", "linear"), "head_type linear gives no descriptors"),
        (edited("catmlp+dpt", "cubic"), "head_type: .*, not 'cubic'"),
        (edited("RoPE100", "cosine"), "pos_embed: "),
        (edited("RoPE100", "RoPE1"), "RoPE base"),
        (edited("RoPE100", "RoPE\u0663\u0661"), "pos_embed: "),
        (edited("ManyAR_PatchEmbed", "Other"), "patch_embed_cls: "),
        (edited("('exp', -inf, inf)", "('linear', -inf, inf)"), "depth_mode: "),
        (edited("('exp', -inf, inf)", "('exp', 0, inf)"), "depth_mode: "),
        (edited("('exp', 1, inf)", "('exp', 1, 5)"), "conf_mode: "),
        (edited("('exp', 1, inf)", "('exp', -inf, inf)"), "conf_floor must be"),
        (edited("('exp', 1, inf)", "('exp', (1, 2), inf)"), "conf_mode: "),
        (edited("('exp', 1, inf)", "('exp', 0x" + "f" * 3600 + ", inf)"), "conf_mode: "),
        (edited("two_confs=True", "two_confs=1"), "two_confs: "),
        (edited("two_confs=True", "patch_size=14"), "patch_size: "),
        (edited("two_confs=True", "frozen='all', colour=3"), "frozen: unknown.*colour: unknown"),
        (edited("two_confs=True", "freeze='encoder'"), "freeze: .*, not 'encoder'"),
        (edited("two_confs=True", "desc_mode=('norm', 1)"), "desc_mode: "),
    ],
)
def test_descriptions_that_are_refused(text, reason) -> None:
    with pytest.raises(ArchitectureError, match=reason) as caught:
        parse_model_call(text)

    assert len(str(caught.value)) < 400


HUGE = 10**400
NESTED: list[object] = []
for _ in range(900):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("enc_depth", (None, [24], math.nan, HUGE, -HUGE, math.inf, NESTED)),
        ("mlp_ratio", (1e308,)),
        ("conf_mode", ({"exp": HUGE}, ["exp", "zero", "inf"], ["exp", HUGE, "inf"], NESTED)),
        ("conf_floor", (["exp", "nan", "inf"],)),
        ("pos_embed", (100, "RoPE1" + "0" * 400, "__import__('os').system('true')")),
        ("output_mode", (f"pts3d+desc{HUGE}", NESTED)),
        ("head_type", ("eval('1')",)),
        ("patch_embed_cls", ("os.system",)),
        ("landscape_only", ("exec('x')", 1)),
        ("two_confs", (HUGE,)),
        ("desc_mode", ("none", None, ["norm"], HUGE, NESTED)),
        ("freeze", ("mask", None, False, NESTED)),
        *(
            (name, ("ReLU",))
            for name in ("croco_kwargs", "act_layer", "__class__", "\ud800\x1b[31m", "x" * 100_000)
        ),
    ],
    ids=lambda value: value[:20].encode("ascii", "replace").decode() if isinstance(value, str) else "",
)
def test_hub_configurations_that_are_refused(name, values) -> None:
    for value in values:
        key = "conf_mode" if name == "conf_floor" else name
        with pytest.raises(ArchitectureError) as caught:
            from_hub_config(HUB | {"license": "x", key: value})
        message = str(caught.value)
        assert name in message or not name.isidentifier() or len(name) > 100
        assert len(message) < 400
        assert "\x1b" not in message
        message.encode()


def test_many_unknown_arguments_are_told_by_the_first_few() -> None:
    with pytest.raises(ArchitectureError, match=r"key0: unknown.*key2: unknown.*; \.\.\.$"):
        from_hub_config(HUB | {f"key{i}": 0 for i in range(20_000)})


@pytest.mark.parametrize("spelt_out", [{"desc_mode": "norm"}, {"freeze": "none"}])
def test_defaults_that_the_hubs_writer_spells_out(spelt_out) -> None:
    assert from_hub_config(HUB | spelt_out) == NetworkArchitecture()
    (argument,) = (f"{name}={value!r}" for name, value in spelt_out.items())
    assert parse_model_call(edited("two_confs=True", f"two_confs=True, {argument}")) == NetworkArchitecture()


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
