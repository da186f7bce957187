"""Networks changed for a CPU compute what kornia's compute; memory of large arrays is used again."""

import platform
import resource

import numpy as np
import pytest

pytest.importorskip("kornia", reason="needs kornia: pip install 'loopsfm[aliked]'")

import torch
from kornia.feature import ALIKED, LightGlue
from kornia.feature.lightglue import CrossBlock

from sfm.matching.aliked.cpu import FusedCrossBlock, quicken_on_cpu
from sfm.matching.aliked.memory import reused_memory


def test_fused_cross_attention_equals_the_plain_one() -> None:
    torch.manual_seed(0)
    plain, fused = CrossBlock(64, 4).eval(), FusedCrossBlock(64, 4).eval()
    fused.load_state_dict(plain.state_dict())
    a, b = torch.randn(1, 50, 64), torch.randn(1, 70, 64)
    with torch.inference_mode():
        for expected, found in zip(plain(a, b), fused(a, b), strict=True):
            torch.testing.assert_close(found, expected)


def test_fused_cross_attention_refuses_a_mask() -> None:
    x = torch.randn(1, 5, 64)
    with pytest.raises(ValueError, match="no mask"):
        FusedCrossBlock(64, 4)(x, x, torch.ones(1, 1, 5, 5, dtype=torch.bool))


def test_features_are_the_same_in_the_other_order_of_memory() -> None:
    torch.manual_seed(0)
    detector = ALIKED(model_name="aliked-n16rot", max_num_keypoints=200).eval()
    matcher = LightGlue(features=None, weights=None, input_dim=128).eval()
    image = torch.rand(1, 3, 97, 130)
    with torch.inference_mode():
        (expected,) = detector(image)
        quicken_on_cpu(detector, matcher)
        (found,) = detector(image)
    assert all(isinstance(layer.cross_attn, FusedCrossBlock) for layer in matcher.transformers)
    assert len(found.keypoints) == len(expected.keypoints) > 0
    torch.testing.assert_close(found.keypoints, expected.keypoints, atol=1e-2, rtol=0)
    torch.testing.assert_close(found.descriptors, expected.descriptors, atol=1e-3, rtol=0)


def match_points(matcher: LightGlue, num: int = 60) -> None:
    """Match points with themselves."""
    points = {
        "keypoints": torch.rand(1, num, 2) * 200,
        "descriptors": torch.nn.functional.normalize(torch.randn(1, num, 128), dim=-1),
        "image_size": torch.tensor([[200.0, 200.0]]),
    }
    with torch.inference_mode():
        matcher({"image0": points, "image1": points})


@pytest.mark.parametrize("has_tiles", [False, True])
def test_layers_multiply_in_bfloat16_where_the_processor_does_so_in_tiles(
    has_tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has_tiles}, raising=False)
    torch.manual_seed(0)
    detector = ALIKED(model_name="aliked-n16rot", max_num_keypoints=200).eval()
    matcher = LightGlue(features=None, weights=None, input_dim=128).eval()
    quicken_on_cpu(detector, matcher)
    seen: list[torch.dtype] = []
    attention = matcher.transformers[0].cross_attn
    attention.to_qk.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))

    match_points(matcher)

    assert set(seen) == {torch.bfloat16 if has_tiles else torch.float32}


def pages_of_large_arrays() -> int:
    """Page faults of ten arrays of 80 MB that follow each other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for value in range(10):
        np.full(10_000_000, float(value))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose allocator is asked")
def test_memory_of_large_arrays_is_used_again_and_given_back() -> None:
    with reused_memory():
        pages_of_large_arrays()
        within = pages_of_large_arrays()
    after = pages_of_large_arrays()
    assert within < after / 5
