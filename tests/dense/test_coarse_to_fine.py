"""Coarse to fine on a rendered scene: matches of large photos become several times more exact."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import sfm
from retrieval import Pair
from sfm.config.schema import Config, ExportConfig, ImagesConfig, Mast3rConfig, RunConfig
from sfm.mast3r.network.predictor import DecodedPairs, EncodedPhoto, PairPredictor
from sfm.mast3r.oracle.oracle import OraclePredictor
from sfm.mast3r.oracle.oracle_scene import depth_at
from sfm.mast3r.values import DenseMatches
from sfm.matching.dense.inference.coarse_to_fine import WindowMatcher
from sfm.matching.dense.inference.inference import PairInference
from sfm.matching.dense.inference.photos import EncodedPhotos, photo_maps
from sfm.matching.dense.inference.token_cache import TokenCache
from sfm.matching.dense.inference.window_tokens import Recent, WindowTokens
from sfm.matching.dense.tracks.joining import joined
from sfm.types import Collection, Exif, Photo
from sfm.workspace.progress import SilentProgress
from tests.rooms import Shot, write_room

SIZE = 64
A, B, SMALL = "photo_00.jpg", "photo_01.jpg", "photo_02.jpg"
PAIR = Pair(A, B)
Few = tuple[DenseMatches, DenseMatches, WindowMatcher]
FEW = Mast3rConfig(image_size=SIZE, coarse_to_fine=True, max_windows=4, min_first_matches=10)


def render(folder: Path, eyes: dict[str, tuple[float, float, float, int]]) -> Path:
    """The room, seen from these places by cameras so many times as large as the network."""
    shots = {
        name: Shot(
            (x, y, z),
            size=(times * SIZE, times * SIZE * 3 // 4),
            focal_px=0.8 * times * SIZE,
            k1=-0.04,
        )
        for name, (x, y, z, times) in eyes.items()
    }
    return write_room(folder, shots, height_m=4.0)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos four times as large as the network's images and one as large as those."""
    eyes = {A: (-1.0, -4.0, 1.6, 4), B: (0.6, -4.5, 1.9, 4), SMALL: (0.0, -4.0, 1.5, 1)}
    return render(tmp_path_factory.mktemp("scene"), eyes)


@pytest.fixture(scope="module")
def oracle(scene: Path) -> OraclePredictor:
    return OraclePredictor(scene, size=SIZE)


@pytest.fixture(scope="module")
def few(scene: Path, oracle: OraclePredictor, tmp_path_factory: pytest.TempPathFactory) -> Few:
    """Coarse and fine matches with few windows, and what made them."""
    return matched(encoded(scene, oracle, tmp_path_factory.mktemp("few")), FEW)


def encoded(scene: Path, predictor: PairPredictor, folder: Path, *photos: Photo) -> EncodedPhotos:
    """The scene's photos, some of them given in another form."""
    others = {photo.name: photo for photo in photos}
    paths = sorted((scene / "images").iterdir())
    collection = Collection(tuple(others.get(path.name, described(path)) for path in paths), {})
    maps, refused = photo_maps(collection, SIZE)
    assert not refused
    by_name = {photo.name: photo for photo in collection.photos}
    return EncodedPhotos(by_name, maps, predictor, TokenCache(folder / "tokens", 10**9), SIZE, 1)


def described(path: Path, orientation: int = 1) -> Photo:
    with Image.open(path) as image:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        return Photo(path.name, path, path, content, *image.size, orientation, 1, Exif())


def matched(photos: EncodedPhotos, config: Mast3rConfig, pair: Pair = PAIR) -> Few:
    """Coarse and fine matches of a pair, and what made them."""
    whole = PairInference(photos.predictor, photos, config)
    matcher = WindowMatcher(photos.predictor, config, WindowTokens(photos, config.max_windows))
    ((_, coarse),) = whole.run([pair], lambda *_: False)
    ((_, fine),) = replace(whole, finer=matcher).run([pair], lambda *_: False)
    assert not coarse.why
    return coarse.matches, fine.matches, matcher


def errors(oracle: OraclePredictor, matches: DenseMatches, pair: Pair = PAIR) -> NDArray[np.float64]:
    """Distance of each match from the truth, px of the second photo."""
    a, b = oracle.view(pair.a), oracle.view(pair.b)
    depth = depth_at(a.depth(), matches.xy_a.astype(np.float64))
    rays = np.column_stack((a.camera.cam_from_img(matches.xy_a.astype(np.float64)), np.ones(len(depth))))
    local = ((rays * depth[:, None] - a.translation) @ a.rotation) @ b.rotation.T + b.translation
    known = (depth > 0) & (local[:, 2] > 0)
    local[~known] = [0, 0, 1]
    distance = np.linalg.norm(b.camera.img_from_cam(local) - matches.xy_b, axis=1)
    return np.asarray(np.where(known, distance, np.inf), np.float64)


def assert_same(first: DenseMatches, second: DenseMatches) -> None:
    np.testing.assert_array_equal(first.xy_a, second.xy_a)
    np.testing.assert_array_equal(first.xy_b, second.xy_b)
    np.testing.assert_array_equal(first.confidence, second.confidence)


def test_matches_are_several_times_more_exact_and_more(
    scene: Path, oracle: OraclePredictor, tmp_path: Path
) -> None:
    config = replace(FEW, max_windows=16)
    coarse, fine, matcher = matched(encoded(scene, oracle, tmp_path), config)

    assert matcher.tokens.windows(A).photo_px == 1.0
    assert np.median(errors(oracle, fine)) < 0.3 * np.median(errors(oracle, coarse))
    assert np.mean(errors(oracle, fine) < 2) > np.mean(errors(oracle, coarse) < 8) - 0.05
    assert len(fine.confidence) > 4 * len(coarse.confidence)
    assert (fine.confidence >= config.min_confidence).all()
    assert matcher.num_decoded <= 2 * config.max_windows
    assert matcher.tokens.num_encoded <= 2 * config.max_windows
    assert len(np.unique(np.hstack((fine.xy_a, fine.xy_b)), axis=0)) == len(fine.confidence)


def test_matches_are_refined_on_request(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, few: Few
) -> None:
    coarse, _, _ = matched(encoded(scene, oracle, tmp_path), replace(FEW, refine_matches=True))

    np.testing.assert_array_equal(coarse.xy_a, few[0].xy_a)
    assert np.median(errors(oracle, coarse)) < np.median(errors(oracle, few[0]))


def test_each_window_is_encoded_once(few: Few) -> None:
    _, fine, matcher = few
    before = matcher.tokens.num_encoded
    again = PairInference(matcher.predictor, matcher.tokens.photos, FEW, matcher)

    ((_, second),) = again.run([PAIR], lambda *_: False)

    assert 0 < before <= 2 * FEW.max_windows
    assert matcher.tokens.num_encoded == before
    assert_same(fine, second.matches)


def test_batches_do_not_change_the_result(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, few: Few
) -> None:
    _, fine, _ = matched(encoded(scene, oracle, tmp_path), replace(FEW, batch_size=3))

    assert_same(few[1], fine)


def test_a_small_photo_takes_part_as_a_whole(scene: Path, oracle: OraclePredictor, tmp_path: Path) -> None:
    pair = Pair(A, SMALL)
    coarse, fine, matcher = matched(encoded(scene, oracle, tmp_path), FEW, pair)

    assert matcher.tokens.windows(SMALL).maps == ()
    assert len(fine.confidence) > len(coarse.confidence)
    close = [np.mean(errors(oracle, matches, pair) < 1) for matches in (fine, coarse)]
    assert close[0] > close[1]


def test_where_both_photos_are_small_nothing_changes(
    scene: Path, oracle: OraclePredictor, tmp_path: Path
) -> None:
    photos = encoded(scene, oracle, tmp_path)
    matcher = WindowMatcher(oracle, FEW, WindowTokens(photos, max_windows=1))
    coarse = DenseMatches(*(np.ones((5, 2), np.float32) for _ in range(2)), np.ones(5, np.float32))

    assert matcher(PAIR, coarse, coarse) is coarse  # one pair of windows is not worth cutting for
    assert matcher.num_decoded == 0


def test_rolled_photos_give_the_same_matches_in_stored_pixels(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, few: Few
) -> None:
    (tmp_path / "rolled").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(scene / "images" / A) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "rolled" / A, "PNG", exif=exif)
    width = 4 * SIZE
    rolled = described(tmp_path / "rolled" / A, orientation=6)

    _, fine, _ = few
    _, turned, _ = matched(encoded(scene, oracle, tmp_path / "rolled", rolled), FEW)

    back = np.column_stack((width - turned.xy_a[:, 1], turned.xy_a[:, 0]))
    expected = {tuple(row) for row in np.hstack((fine.xy_a, fine.xy_b)).round(2).tolist()}
    found = {tuple(row) for row in np.hstack((back, turned.xy_b)).round(2).tolist()}
    assert len(expected & found) > 0.95 * max(len(expected), len(found))


@dataclass
class Faulty:
    """A predictor whose windows fail as told; everything else is the oracle's."""

    oracle: OraclePredictor
    on_windows: Callable[[int], None] = lambda count: None
    spoilt: Callable[[EncodedPhoto], bool] = lambda photo: False
    key: str = "faulty"
    has_descriptors: bool = True
    is_metric: bool = True
    token_dim: int = 64
    token_dtype: torch.dtype = torch.bfloat16
    retrieval_size: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        self.encode = self.oracle.encode
        self.retrieval_features = self.oracle.retrieval_features

    def decode(self, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]) -> DecodedPairs:
        if first[0].window is not None:
            self.on_windows(len(first))
        decoded = self.oracle.decode(first, second)
        return Spoilt(decoded, [self.spoilt(photo) for photo in first])


@dataclass
class Spoilt:
    decoded: DecodedPairs
    rows: list[bool]
    has_descriptors: bool = True

    def descriptors(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        descriptors, confidence = self.decoded.descriptors(view, rows)
        descriptors[torch.tensor(self.rows)] = float("nan")
        return descriptors, confidence

    def points(self, view: int, rows: Sequence[int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        return self.decoded.points(view, rows)


def out_of_memory(count: int) -> None:
    raise torch.OutOfMemoryError(f"{count} window pairs")


def test_without_memory_for_windows_the_coarse_matches_stay(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    coarse, fine, _ = matched(encoded(scene, Faulty(oracle, out_of_memory), tmp_path), FEW)

    assert_same(coarse, fine)
    assert "out of memory" in caplog.text


def test_batches_of_windows_are_halved_when_memory_runs_out(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, few: Few
) -> None:
    def one_at_a_time(count: int) -> None:
        if count > 1:
            out_of_memory(count)

    _, fine, _ = matched(encoded(scene, Faulty(oracle, one_at_a_time), tmp_path), FEW)

    assert_same(few[1], fine)


def test_windows_that_come_out_as_nan_are_left_out(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, few: Few
) -> None:
    def all_windows(photo: EncodedPhoto) -> bool:
        return photo.window is not None

    def upper_windows(photo: EncodedPhoto) -> bool:
        return photo.window is not None and photo.window.crop[1] == 0

    coarse, none, _ = matched(encoded(scene, Faulty(oracle, spoilt=all_windows), tmp_path), FEW)
    _, some, _ = matched(encoded(scene, Faulty(oracle, spoilt=upper_windows), tmp_path), FEW)

    assert_same(coarse, none)
    assert len(coarse.confidence) < len(some.confidence) < len(few[1].confidence)
    assert np.isfinite(some.xy_a).all()


@pytest.mark.parametrize("fault", ["gone", "replaced"])
def test_photos_that_cannot_be_read_again_keep_their_coarse_matches(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    path = tmp_path / A
    path.write_bytes((scene / "images" / A).read_bytes())
    photos = encoded(scene, oracle, tmp_path, described(path))
    assert photos.encode_missing(SilentProgress()) == (3, {})
    if fault == "gone":
        path.unlink()
    else:
        Image.new("RGB", (40, 30)).save(path)

    coarse, fine, _ = matched(photos, FEW)

    assert_same(coarse, fine)
    assert f"{A}: its windows are left out" in caplog.text


def rows(*values: tuple[float, float, float, float, float]) -> DenseMatches:
    table = np.array(values, np.float32).reshape(-1, 5)
    return DenseMatches(table[:, :2], table[:, 2:4], table[:, 4])


def test_later_matches_stay_only_where_neither_photo_has_earlier_ones() -> None:
    fine = rows((12, 12, 52, 12, 9), (3, 3, 43, 3, 8))
    coarse = rows(
        (14, 14, 90, 90, 1),  # another match lies near it in the first photo,
        (90, 90, 50, 10, 2),  # or in the second,
        (70, 20, 100, 20, 3),  # or in neither
        (71, 20, 101, 20, 4),  # matches of one source don't compete
    )

    both = joined([(fine, (2, 2)), (coarse, (10, 10))])

    expected = rows((3, 3, 43, 3, 8), (12, 12, 52, 12, 9), (70, 20, 100, 20, 3), (71, 20, 101, 20, 4))
    assert_same(both, expected)


def test_the_least_recently_used_goes_first() -> None:
    recent: Recent[str, int] = Recent(10, lambda value: value)
    for name, size in (("a", 4), ("b", 4)):
        recent.put(name, size)
    assert recent.get("a") == 4
    recent.put("c", 4)
    assert [recent.get(name) for name in "abc"] == [4, None, 4]
    recent.put("huge", 99)
    assert [recent.get(name) for name in ("a", "c", "huge")] == [None, None, 99]


@pytest.mark.slow
def test_a_whole_run_is_more_exact_with_windows(tmp_path: Path) -> None:
    eyes = {f"{i}.jpg": (-3.0 + 1.5 * i, -4.0 - 0.3 * (i % 2), 1.5 + 0.2 * i, 4) for i in range(5)}
    folder = render(tmp_path / "scene", eyes)
    errors_deg, points = [], []
    for windows in (False, True):
        dense = replace(FEW, coarse_to_fine=windows, max_windows=16, oracle=str(folder))
        config = Config(
            backend="mast3r",
            mast3r=dense,
            images=ImagesConfig(camera_sharing="single"),
            export=ExportConfig(report=False),
            run=RunConfig(threads=1),
        )
        result = sfm.run(folder / "images", output=tmp_path / str(windows), config=config)
        model = result.reconstruction
        assert model is not None
        assert model.num_reg_images() == len(eyes)
        scores = sfm.evaluate(tmp_path / str(windows), folder / "gt.json")
        errors_deg.append(scores.overall.rotation_median_deg)
        points.append(model.num_points3D())

    assert errors_deg[1] < 0.5 * errors_deg[0]
    assert points[1] > 3 * points[0]


def test_an_uncut_photo_that_memory_does_not_suffice_for_leaves_the_coarse_matches(
    scene: Path, oracle: OraclePredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = encoded(scene, oracle, tmp_path)
    pair = Pair.of(A, SMALL)
    ((_, coarse),) = PairInference(oracle, photos, FEW).run([pair], lambda *_: False)
    matcher = WindowMatcher(oracle, FEW, WindowTokens(photos, FEW.max_windows))
    matcher.tokens.photos = encoded(scene, oracle, tmp_path / "again")  # which has encoded none yet

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(OraclePredictor, "encode", full)
    fine = matcher(pair, coarse.matches, coarse.matches)
    assert np.array_equal(fine.xy_a, coarse.matches.xy_a)
