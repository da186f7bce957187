"""The oracle answers as the network would that knew the truth."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sfm.errors import InputError
from sfm.mast3r.network.correspondences import DescriptorMap, match_direction, merge_directions
from sfm.mast3r.network.image_input import network_photo
from sfm.mast3r.network.predictor import EncodedPhoto, NetworkPhoto, PairPredictor
from sfm.mast3r.oracle.oracle import OracleOptions, OraclePredictor
from sfm.mast3r.values import PixelMap

from .room import SIZE, encoded, projected

EXACT = OracleOptions(noise_px=0, confidence_noise=0, depth_noise=0, scale_noise=0)


def matched(oracle: OraclePredictor, a: str, b: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mutual nearest neighbours of every third pixel of `a`, by linear pixel, and their confidence."""
    pairs = oracle.decode(encoded(oracle, a), encoded(oracle, b))
    (d1, c1), (d2, c2) = pairs.descriptors(1), pairs.descriptors(2)
    flat1, flat2 = d1.reshape(-1, 24), d2.reshape(-1, 24)
    i = torch.arange(0, len(flat1), 3)
    j = (flat1[i] @ flat2.T).argmax(1)
    mutual = (flat2[j] @ flat1.T).argmax(1) == i
    i, j = i[mutual], j[mutual]
    confidence = torch.sqrt(c1.reshape(-1)[i] * c2.reshape(-1)[j])
    return i.numpy(), j.numpy(), confidence.numpy()


def pixel_errors(oracle: OraclePredictor, a: str, b: str) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each match from the truth in network pixels of `b`, and its confidence."""
    i, j, confidence = matched(oracle, a, b)
    where = projected(oracle, oracle.points(f"{a}.jpg").reshape(-1, 3)[i], b)
    columns = oracle.grid(f"{b}.jpg").size[1]
    return np.linalg.norm(where - np.stack([j % columns, j // columns], axis=1), axis=1), confidence


def test_it_is_a_predictor(room: Path) -> None:
    oracle: PairPredictor = OraclePredictor(room, size=SIZE)
    pixels = np.zeros((120, 160, 3), np.uint8)
    photos = [network_photo(pixels, f"{name}.jpg", size=SIZE)[0] for name in ("left", "right", "close")]

    tokens = oracle.encode(photos)
    left, right, close = (EncodedPhoto(p.name, t, p.size) for p, t in zip(photos, tokens, strict=True))
    pairs = oracle.decode([left, right], [close, left])

    assert tokens.shape == (3, 6 * 8, oracle.token_dim)
    for view in (1, 2):
        descriptors, confidence = pairs.descriptors(view)
        assert descriptors.shape == (2, 96, 128, 24)
        assert confidence.shape == (2, 96, 128)
        assert descriptors.dtype == confidence.dtype == torch.float32
        torch.testing.assert_close(descriptors.norm(dim=-1), torch.ones(2, 96, 128))
        assert confidence.min() > 0
        assert 10 < confidence.max() < 45
        points, certainty = pairs.points(view)
        assert points.shape == (2, 96, 128, 3)
        assert points.isfinite().all()
        assert certainty.min() > 1
        assert torch.equal(pairs.points(view, [1])[0], points[1:])  # rows do not depend on each other
        assert torch.equal(pairs.descriptors(view, [1])[0], descriptors[1:])


def test_both_directions_give_correspondences_that_are_right(room: Path) -> None:
    oracle = OraclePredictor(room, size=SIZE)
    left, right = encoded(oracle, "left", "right")

    def direction(a: EncodedPhoto, b: EncodedPhoto) -> list[DescriptorMap]:
        pairs = oracle.decode([a], [b])
        return [DescriptorMap(d[0], c[0]) for d, c in (pairs.descriptors(1), pairs.descriptors(2))]

    found = merge_directions(
        match_direction(*direction(left, right), subsample=4),
        match_direction(*reversed(direction(right, left)), subsample=4),
    )

    good = found.confidence > 1
    x, y = found.xy_a[good].T
    error = np.linalg.norm(
        projected(oracle, oracle.points("left.jpg")[y, x], "right") - found.xy_b[good], axis=1
    )
    assert good.sum() > 500
    assert (error < 1.5).mean() > 0.9


def test_a_window_of_a_photo_is_a_closer_look(room: Path) -> None:
    """The middle of the left photo at twice its size, matched with the whole of the right one."""
    oracle = OraclePredictor(room, size=SIZE, options=EXACT)
    window = PixelMap(scale=(0.5, 0.5), crop=(96, 72), size=(96, 128))
    photo = NetworkPhoto("left.jpg", np.zeros((96, 128, 3), np.uint8), window)

    closer = EncodedPhoto(photo.name, oracle.encode([photo])[0], photo.size, window)
    pairs = oracle.decode([closer], encoded(oracle, "right"))
    (d1, c1), (d2, _) = pairs.descriptors(1), pairs.descriptors(2)
    found = (d1.reshape(-1, 24) @ d2.reshape(-1, 24).T).argmax(1).numpy()
    seen = c1.reshape(-1).numpy() > 3

    points = oracle.points("left.jpg", window)
    middle = oracle.view("left.jpg").camera.img_from_cam(
        points[48, 64] @ oracle.view("left.jpg").rotation.T + oracle.view("left.jpg").translation
    )
    assert middle == pytest.approx([0.5 * (96 + 64.5), 0.5 * (72 + 48.5)], abs=1e-3)
    where = projected(oracle, points.reshape(-1, 3)[seen], "right")
    error = np.linalg.norm(where - np.stack([found % 128, found // 128], axis=1)[seen], axis=1)
    assert seen.mean() > 0.3
    assert (error < 1).mean() > 0.95


def test_depth_errors_are_as_large_as_asked(room: Path) -> None:
    noisy = OraclePredictor(room, size=SIZE, options=replace(EXACT, depth_noise=0.05, scale_noise=0.1))
    truth = OraclePredictor(room, size=SIZE, options=EXACT)
    names = ("right", "close", "upright", "left")
    scales, spreads = [], []
    for a in names:
        for b in names:
            wrong, exact = (
                o.decode(encoded(o, a), encoded(o, b)).points(1)[0].numpy()[..., 2] for o in (noisy, truth)
            )
            ratio = np.log(wrong / exact)[np.isfinite(truth.points(f"{a}.jpg")[..., 0])[None]]
            scales.append(np.median(ratio))
            spreads.append(ratio.std())

    assert 0.05 < np.std(scales) < 0.2
    assert 0.02 < np.mean(spreads) < 0.08


def test_other_places_share_nothing(room: Path) -> None:
    oracle = OraclePredictor(room, size=SIZE)
    pairs = oracle.decode(encoded(oracle, "left"), encoded(oracle, "elsewhere"))

    for view in (1, 2):
        assert pairs.descriptors(view)[1].max() < 0.5
        assert pairs.points(view)[0].isfinite().all()
    i, j, _ = matched(oracle, "left", "elsewhere")
    assert (i == j).mean() < 0.05  # the same coordinates, but not the same place


def test_wrong_matches_are_as_many_as_asked_and_confident(room: Path) -> None:
    shares = {}
    for wrong in (0.0, 0.25):
        oracle = OraclePredictor(room, size=SIZE, options=replace(EXACT, wrong_matches=wrong))
        error, confidence = pixel_errors(oracle, "left", "right")
        shares[wrong] = (error[confidence > 3] > 8).mean()

    assert shares[0.0] < 0.01
    assert 0.2 < shares[0.25] < 0.6  # both views have exchanged patches


def test_more_noise_is_more_error_and_another_key(room: Path) -> None:
    usual = OraclePredictor(room, size=SIZE)
    noisy = OraclePredictor(room, size=SIZE, options=OracleOptions().noisier(5))

    errors = [float(np.nanmedian(pixel_errors(oracle, "left", "right")[0])) for oracle in (usual, noisy)]

    assert OracleOptions().noisier(0) == EXACT
    assert errors[1] > 1.5 * errors[0]
    assert usual.key != noisy.key


def test_tokens_are_alike_where_photos_show_the_same(room: Path) -> None:
    oracle = OraclePredictor(room, size=SIZE)
    photos = dict(
        zip(
            ("left", "right", "away", "elsewhere"),
            encoded(oracle, "left", "right", "away", "elsewhere"),
            strict=True,
        )
    )
    strong = {name: oracle.retrieval_features(photo, 20) for name, photo in photos.items()}

    def alike(a: str, b: str) -> float:
        unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (strong[a], strong[b])]
        return float((unit[0] @ unit[1].T).max(axis=1).mean())

    assert strong["left"].shape == (20, oracle.token_dim)
    assert strong["left"].dtype == np.float32
    assert np.all(np.diff(np.linalg.norm(strong["left"], axis=1)) <= 0)
    assert alike("left", "right") > 0.7
    assert alike("left", "right") > alike("left", "away") + 0.2
    assert alike("left", "right") > alike("left", "elsewhere") + 0.2


def test_answers_are_reproducible_and_the_key_says_which(room: Path) -> None:
    one, same = OraclePredictor(room, size=SIZE), OraclePredictor(room, size=SIZE)
    others = [
        OraclePredictor(room, size=160),
        OraclePredictor(room, size=SIZE, square_ok=True),
        OraclePredictor(room, size=SIZE, options=OracleOptions(seed=1)),
    ]

    answers = [o.decode(encoded(o, "left"), encoded(o, "right")).descriptors(1) for o in (one, same)]

    assert torch.equal(answers[0][0], answers[1][0])
    assert torch.equal(answers[0][1], answers[1][1])
    assert one.key == same.key
    assert len({one.key, *(other.key for other in others)}) == 4


def test_a_photo_of_another_size_is_refused(room: Path) -> None:
    oracle = OraclePredictor(room, size=SIZE)
    (left,) = encoded(oracle, "left")

    with pytest.raises(InputError, match=r"left\.jpg: .* 64 x 48 px, but .* 128 x 96 px"):
        oracle.decode([left], [replace(left, size=(48, 64))])
    with pytest.raises(InputError, match="128 x 96"):
        oracle.encode([NetworkPhoto("left.jpg", np.zeros((48, 64, 3), np.uint8))])


def test_a_photo_that_is_not_in_the_scene_is_named(room: Path) -> None:
    oracle = OraclePredictor(room, size=SIZE)

    with pytest.raises(InputError, match=r"gt\.json has no photo 'other\.jpg'"):
        oracle.encode([NetworkPhoto("other.jpg", np.zeros((96, 128, 3), np.uint8))])


def test_sky_is_put_behind_the_scene_where_it_is_seen_and_nothing_is_sure_of_it(room: Path) -> None:
    oracle = OraclePredictor(room, size=SIZE, options=OracleOptions(sky_distance=1.5))
    photo = encoded(oracle, "left")
    pairs = oracle.decode(photo, encoded(oracle, "right"))
    points, confidence = (part[0].numpy() for part in pairs.points(1))
    sky = np.isnan(oracle.points("left.jpg")[..., 0])
    assert 0.1 < sky.mean() < 0.9

    depth = points[..., 2]
    assert np.median(depth[~sky]) < np.median(depth[sky]) < 4 * np.percentile(depth[~sky], 90)
    assert depth[sky].std() > 0.05 * depth[sky].mean()
    assert confidence[sky].max() < 1.1 < confidence[~sky].min()
    assert pairs.descriptors(1)[1][0].numpy()[sky].max() < 0.5
    # a pixel stays on its ray
    x = np.argwhere(sky)[:, 1]
    assert np.corrcoef(points[sky][:, 0] / depth[sky], x)[0, 1] > 0.99


def test_how_far_sky_is_can_be_asked_for(room: Path) -> None:
    near, far = (
        OraclePredictor(room, size=SIZE, options=replace(EXACT, sky_noise=0, sky_distance=distance))
        for distance in (1.5, 15)
    )
    sky = np.isnan(near.points("left.jpg")[..., 0])
    depths = [
        one.decode(encoded(one, "left"), encoded(one, "right")).points(1)[0][0].numpy()[..., 2]
        for one in (near, far)
    ]

    np.testing.assert_allclose(depths[1][sky], 10 * depths[0][sky], rtol=1e-5)
    np.testing.assert_allclose(depths[1][~sky], depths[0][~sky], rtol=1e-6)
    assert near.key != far.key
