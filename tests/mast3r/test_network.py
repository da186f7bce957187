"""The network equals the published one, and its parts may be called in any grouping."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfm.errors import InputError
from sfm.mast3r.network.architecture import NetworkArchitecture
from sfm.mast3r.network.network import Mast3rNetwork
from sfm.mast3r.network.network_predictor import NetworkPredictor
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto
from sfm.mast3r.network.retrieval_head import RetrievalHead
from sfm.mast3r.network.whitening import fit_whitening
from sfm.mast3r.weights.model_call import from_hub_config
from sfm.mast3r.weights.tensor_shapes import expected_shapes


def photo(name: str, height: int = 48, width: int = 64) -> NetworkPhoto:
    rng = np.random.default_rng(int.from_bytes(name.encode()))
    return NetworkPhoto(name, rng.integers(0, 256, (height, width, 3), np.uint8))


def encoded(predictor: NetworkPredictor, *photos: NetworkPhoto) -> list[EncodedPhoto]:
    tokens = predictor.encode(photos)
    return [EncodedPhoto(p.name, t, p.size) for p, t in zip(photos, tokens, strict=True)]


def all_maps(decoded, rows=None) -> list[np.ndarray]:
    return [
        tensor.numpy()
        for view in (1, 2)
        for answer in (decoded.descriptors(view, rows), decoded.points(view, rows))
        for tensor in answer
    ]


@pytest.fixture
def predictor(small_network) -> NetworkPredictor:
    return NetworkPredictor(small_network, "small")


@pytest.mark.parametrize(("kind", "least"), [("network", 68), ("rope", 3), ("retrieval", 14)])
def test_parity_with_stored_outputs(parity_data, kind, least) -> None:
    from parity import compare as parity

    cases = list(parity.run(kind, parity_data, "cpu"))

    assert [case for case in cases if not case.passed] == []
    assert len(cases) >= least


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "least"), [("network", 330), ("rope", 5), ("retrieval", 46)])
def test_parity_with_the_whole_collection(shared_parity, kind, least) -> None:
    from parity import compare as parity

    cases = list(parity.run(kind, shared_parity, "cpu"))

    assert [case for case in cases if not case.passed] == []
    assert len(cases) >= least


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["network", "rope", "retrieval"])
def test_parity_on_a_gpu(parity_data, kind) -> None:
    from parity import compare as parity

    cases = list(parity.run(kind, parity_data, "cuda"))

    assert cases
    assert [case for case in cases if not case.passed] == []


def test_parity_bench_reports_failures_and_goes_on(parity_data, tmp_path, monkeypatch, capsys) -> None:
    from parity import compare as parity

    shutil.copytree(parity_data / "rope", tmp_path / "rope")
    (tmp_path / "retrieval").mkdir()
    (tmp_path / "retrieval" / "head.npz").write_bytes(b"PK not a zip")
    with np.load(tmp_path / "rope" / "rope.npz") as file:
        arrays = {key: file[key] for key in file.files}
    arrays["hd24_rand__out"][0, 0, 0, 0] += 1e-3
    np.savez(tmp_path / "rope" / "rope.npz", **arrays)
    monkeypatch.setattr("sys.argv", ["compare.py", str(tmp_path), "--only", "retrieval", "rope", "--json"])

    assert parity.main() == 1

    report = json.loads(capsys.readouterr().out)
    failed = [case for case in report["cases"] if not case["passed"]]
    assert [case["kind"] for case in failed] == ["retrieval", "rope"]
    assert "stopped by" in failed[0]["name"]
    assert failed[1]["error"] == pytest.approx(1e-3, rel=0.01)
    assert report["kinds"]["rope"]["cases"] == 3


def test_parity_bench_reads_configuration_seed_and_sizes(parity_data, tmp_path) -> None:
    """Outputs of our own for another network, in the layout of the full-size fixtures."""
    from parity import compare as parity
    from parity import network as cases
    from parity import networks, recipe

    config = json.loads((parity_data / "tiny" / "manifest.json").read_text())["config"]
    config |= {"enc_embed_dim": 32, "enc_depth": 1, "enc_num_heads": 2}
    config |= {"dec_embed_dim": 48, "dec_depth": 10, "dec_num_heads": 3}
    shapes = expected_shapes(from_hub_config(config))
    params = {
        name: {"shape": shapes[name], "sha256_f32": hashlib.sha256(values).hexdigest()[:16]}
        for name, values in recipe.state_dict(shapes, seed=3).items()
    }
    manifest = tmp_path / "manifest_other.json"
    manifest.write_text(json.dumps({"config": config, "seed": 3, "params": params}))
    built, _ = networks.build(manifest, "cpu")
    views = cases._decoded(built, *(cases.full_image("q32x48", view, 3) for view in (1, 2)))
    points, confidence = (tensor.numpy() for tensor in built.points(1, views[0]))
    pixels = points.reshape(-1)
    statistics = [pixels.mean(), pixels.std(), pixels.min(), pixels.max(), np.abs(pixels).sum()]
    arrays = {
        "res11_pts3d_s3": points[:, ::3, ::3],
        "res11_pts3d_stats": np.array(statistics, np.float64),
        "res11_conf_s5": confidence[:, ::5, ::5],
        "decout10_view2_tok_s2_ch_s7": views[1].layers[3][:, ::2, ::7].numpy(),
    }
    (tmp_path / "full").mkdir()
    np.savez(tmp_path / "full" / "q32x48.npz", **arrays)

    found = list(parity.run("network", tmp_path, "cpu"))

    assert [case.passed for case in found] == [True] * 5
    manifest.write_text(json.dumps({"config": config, "seed": 4, "params": params}))
    networks.build.cache_clear()
    assert not any(case.passed for case in parity.run("network", tmp_path, "cpu"))


def test_parity_bench_without_fixtures_fails(parity_data, tmp_path, monkeypatch, capsys) -> None:
    from parity import compare as parity

    monkeypatch.setattr("sys.argv", ["compare.py", str(tmp_path), "--only", "network", "rope"])

    assert parity.main() == 1
    assert "no fixtures of network, rope" in capsys.readouterr().err


def test_a_batch_is_its_pairs_one_by_one(predictor) -> None:
    a, b, c = encoded(predictor, photo("a"), photo("b"), photo("c"))
    (portrait,) = encoded(predictor, photo("p", 80, 32))

    together = all_maps(predictor.decode([a, b, c], [portrait] * 3))

    for row, single in enumerate((a, b, c)):
        for batch, alone in zip(together, all_maps(predictor.decode([single], [portrait])), strict=True):
            np.testing.assert_allclose(batch[row], alone[0], atol=2e-5, rtol=2e-5)


def test_photos_may_be_encoded_alone(predictor) -> None:
    together = encoded(predictor, photo("a"), photo("b"))
    alone = [*encoded(predictor, photo("a")), *encoded(predictor, photo("b"))]

    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.tokens, other.tokens, atol=1e-5)


def test_rows_are_rows_of_the_whole(predictor) -> None:
    photos = encoded(predictor, photo("a"), photo("b"), photo("c"))
    decoded = predictor.decode(photos, photos[::-1])
    whole = all_maps(decoded)

    for rows in ([2], [2, 0], [1, 1], []):
        for some, everything in zip(all_maps(decoded, rows), whole, strict=True):
            np.testing.assert_allclose(some, everything[rows], atol=1e-5, rtol=1e-5)


@settings(max_examples=5)
@given(st.tuples(*[st.integers(1, 5)] * 4))
def test_any_multiple_of_sixteen(small_tensors, grids) -> None:
    """Odd grids, single rows and columns, both views of their own size."""
    h1, w1, h2, w2 = (16 * side for side in grids)
    network = Mast3rNetwork.from_tensors(NetworkArchitecture(128, 4, 4, 96, 12, 4), small_tensors)
    predictor = NetworkPredictor(network, "small")
    first, second = encoded(predictor, photo("a", h1, w1)), encoded(predictor, photo("b", h2, w2))

    decoded = predictor.decode(first, second)

    for view, shape in ((1, (1, h1, w1)), (2, (1, h2, w2))):
        descriptors, descriptor_confidence = decoded.descriptors(view)
        points, confidence = decoded.points(view)
        assert descriptors.shape == (*shape, 24)
        assert points.shape == (*shape, 3)
        assert descriptor_confidence.shape == confidence.shape == shape
        np.testing.assert_allclose(descriptors.norm(dim=-1), 1.0, atol=1e-5)
        assert (descriptor_confidence > 0).all()
        assert (confidence > 1).all()
        assert {t.dtype for t in (descriptors, descriptor_confidence, points, confidence)} == {torch.float32}


@pytest.mark.parametrize(
    ("types", "bound"),
    [
        ((torch.bfloat16, torch.float32, torch.float32), 0.1),
        ((torch.float16, torch.float32, torch.float32), 0.02),
        ((torch.bfloat16, torch.bfloat16, torch.bfloat16), 0.1),
    ],
)
def test_half_precision_stays_near(small_network, types, bound) -> None:
    predictor = NetworkPredictor(small_network, "small")
    photos = photo("a"), photo("b")
    a, b = encoded(predictor, *photos)
    exact = all_maps(predictor.decode([a], [b]))

    small_network.set_precision(types[0], descriptors=types[1], points=types[2])
    a, b = encoded(predictor, *photos)
    halved = all_maps(predictor.decode([a], [b]))

    assert a.tokens.dtype == torch.float32
    for ours, expected in zip(halved, exact, strict=True):
        assert ours.dtype == np.float32
        assert np.abs(ours - expected).mean() < bound * np.abs(expected).mean()


def test_tokens_from_a_half_precision_cache(predictor) -> None:
    a, b = encoded(predictor, photo("a"), photo("b"))
    exact = all_maps(predictor.decode([a], [b]))

    stored = [replace(p, tokens=p.tokens.bfloat16()) for p in (a, b)]

    for ours, expected in zip(all_maps(predictor.decode(stored[:1], stored[1:])), exact, strict=True):
        assert np.abs(ours - expected).mean() < 0.1 * np.abs(expected).mean()


def test_pixels_are_normalised_exactly(predictor, small_network) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    seen = []
    # What convolutions make of them depends on the strides of the batch, which choose another kernel.
    small_network.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))

    predictor.encode([NetworkPhoto("ramp", ramp)])

    (images,) = seen
    expected = (ramp.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    np.testing.assert_array_equal(images, expected.transpose(2, 0, 1)[None])


def test_retrieval_features_are_those_of_the_head(small_network) -> None:
    plain = NetworkPredictor(small_network, "small")
    a, b = encoded(plain, photo("a"), photo("b"))
    head = RetrievalHead(fit_whitening(torch.cat((a.tokens, b.tokens))))

    found = NetworkPredictor(small_network, "small", retrieval_head=head).retrieval_features(a, 5)

    np.testing.assert_array_equal(found, head.local(a.tokens[None], 5)[0][0])
    with pytest.raises(InputError, match="retrieval head"):
        plain.retrieval_features(a, 5)


def test_damaged_weights_come_out_as_nan(small_network) -> None:
    small_network.dec_norm.bias[0] = float("nan")
    predictor = NetworkPredictor(small_network, "small")
    a, b = encoded(predictor, photo("a"), photo("b"))

    assert all(np.isnan(values).any() for values in all_maps(predictor.decode([a], [b])))


def test_points_lend_their_confidence_where_descriptors_have_none(small_tensors) -> None:
    tensors = {
        name: tensor[: 24 * 256] if ".head_local_features.fc2." in name else tensor
        for name, tensor in small_tensors.items()
    }
    network = Mast3rNetwork.from_tensors(NetworkArchitecture(128, 4, 4, 96, 12, 4, two_confs=False), tensors)
    predictor = NetworkPredictor(network, "one confidence")
    decoded = predictor.decode(*([p] for p in encoded(predictor, photo("a"), photo("b"))))

    np.testing.assert_array_equal(decoded.descriptors(1)[1], decoded.points(1)[1])


def test_weights_are_used_in_place(small_tensors) -> None:
    network = Mast3rNetwork.from_tensors(NetworkArchitecture(128, 4, 4, 96, 12, 4), small_tensors)

    shared = {
        name
        for name, parameter in network.named_parameters()
        if parameter.data_ptr() == small_tensors[name].data_ptr()
    }
    assert {name for name, p in network.named_parameters() if p.dim() < 4} <= shared


def test_missing_or_misshapen_weights(small_tensors) -> None:
    architecture = NetworkArchitecture(128, 4, 4, 96, 12, 4)
    with pytest.raises(KeyError, match=r"enc_norm\.bias"):
        Mast3rNetwork.from_tensors(
            architecture, {name: t for name, t in small_tensors.items() if name != "enc_norm.bias"}
        )
    with pytest.raises(RuntimeError, match="size mismatch"):
        Mast3rNetwork.from_tensors(architecture, {**small_tensors, "enc_norm.bias": torch.zeros(7)})


def test_photos_that_do_not_fit(predictor, small_network) -> None:
    (a,) = encoded(predictor, photo("a"))
    (wide,) = encoded(predictor, photo("w", 48, 80))
    decoded = predictor.decode([a], [wide])

    with pytest.raises(ValueError, match="multiples of 16"):
        predictor.encode([photo("x", 48, 60)])
    with pytest.raises(ValueError, match="multiples of 16"):
        small_network.encode(torch.zeros(1, 3, 0, 16))
    with pytest.raises(ValueError, match="one size"):
        predictor.decode([a, wide], [a, a])
    with pytest.raises(ValueError, match="2 first photos, 1 second"):
        predictor.decode([a, a], [wide])
    with pytest.raises(ValueError, match="12 tokens"):
        predictor.decode([replace(a, size=(64, 64))], [a])
    with pytest.raises(ValueError, match="1 or 2"):
        decoded.points(0)
    with pytest.raises(IndexError):
        decoded.descriptors(1, [1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_compiled_blocks_agree(small_network) -> None:
    predictor = NetworkPredictor(small_network, "small")
    a, b = encoded(predictor, photo("a"), photo("b"))
    exact = all_maps(predictor.decode([a], [b]))

    small_network.compile_blocks()
    a, b = encoded(predictor, photo("a"), photo("b"))

    for ours, expected in zip(all_maps(predictor.decode([a], [b])), exact, strict=True):
        np.testing.assert_allclose(ours, expected, atol=5e-5, rtol=1e-4)
