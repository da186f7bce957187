"""What photos show at the same pixels is found and masked; nothing else is."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

import sfm
from retrieval import Pair
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config, ExportConfig, RunConfig, SiftConfig, VerifyConfig
from sfm.matching.overlays import COLUMNS, FINER, ROWS, Matches, overlay, resting_cells
from sfm.matching.verification import verification_options, verify_pairs
from sfm.stages.masked_overlays import with_known_overlays
from sfm.types import Collection, Exif, Photo
from sfm.workspace.progress import SilentProgress

SIZE = (640, 480)
BAND = 0.75
"""Where the overlay of the drawn matches begins, of the height."""

NUM_PHOTOS = 11


def drawn(
    *, num_pairs: int = 10, shift: float = 40.0, wrong: float = 0.2, with_band: bool = True
) -> Iterator[Matches]:
    """Matches of pairs between which the picture moves by `shift` px, some of them wrong, above a band."""
    rng = np.random.default_rng(0)
    for number in range(num_pairs):
        first = rng.uniform((0, 0), SIZE, (3000, 2))
        second = first + rng.normal(0, shift, 2) + rng.normal(0, 0.3, first.shape)
        lost = rng.random(len(first)) < wrong
        second[lost] = rng.uniform((0, 0), SIZE, (lost.sum(), 2))
        if with_band:
            band = (first[:, 1] > BAND * SIZE[1]) & ~lost
            second[band] = first[band] + rng.normal(0, 0.1, (band.sum(), 2))
        yield consecutive(number), first, second


def consecutive(number: int) -> Pair:
    return Pair.of(f"{number:02d}", f"{number + 1:02d}")


def on_a_turntable(pairs: Sequence[Pair]) -> Iterator[Matches]:
    """Matches of what stands around, and in some pairs few of an object in the middle that turns."""
    rng = np.random.default_rng(0)
    for pair in pairs:
        first = rng.uniform((0, 0), SIZE, (3000, 2))
        inside = (np.abs(first / SIZE - 0.5) < 0.2).all(axis=1)
        second = first + rng.normal(0, 0.1, first.shape)
        second[inside] += rng.uniform(-60, 60, (inside.sum(), 2))
        some = ~inside | (rng.random(len(first)) < (0.5 if rng.random() < 0.5 else 0.0))
        yield pair, first[some], second[some]


def test_what_stands_around_a_turntable_is_an_overlay() -> None:
    """In most pairs the object has no match, or too few to tell that anything moved."""
    found = overlay(on_a_turntable([consecutive(i) for i in range(10)]), SIZE, NUM_PHOTOS)

    assert found is not None
    assert found.is_camera_still
    cells = found.cells
    assert cells[:5].all()
    assert cells[:, :7].all()
    assert not cells[ROWS // 2 - 3 : ROWS // 2 + 3, COLUMNS // 2 - 4 : COLUMNS // 2 + 4].any()


def test_only_what_moves_before_the_background_is_left_of_a_photo() -> None:
    rng = np.random.default_rng(0)
    background = rng.integers(0, 255, (240, 320)).astype(float)
    photos = []
    for number in range(12):
        photo = background + rng.normal(0, 2, background.shape)
        column = 60 + 15 * number
        photo[100:140, column : column + 40] = rng.integers(0, 255, (40, 40))
        photos.append(np.clip(photo, 0, 255).astype(np.uint8))

    cells = resting_cells(photos)

    assert cells is not None
    assert cells.shape == (12, FINER * ROWS, FINER * COLUMNS)
    pixels = np.repeat(np.repeat(cells, 10, axis=1), 10, axis=2)[:, ::FINER, ::FINER]
    for number, resting in enumerate(pixels):
        column = 60 + 15 * number
        assert not resting[100:140, column : column + 40].any()
        around = np.ones_like(resting)
        around[90:150, max(column - 10, 0) : column + 50] = False
        assert resting[around].mean() > 0.99


@pytest.mark.parametrize("with_band", [True, False])
def test_all_photos_of_a_still_camera_may_show_something_small_that_moves(with_band: bool) -> None:
    """Of nothing else could a model be made; the photos say whether anything moves."""
    found = overlay(drawn(shift=0.1, with_band=with_band), SIZE, NUM_PHOTOS)

    assert found is not None
    assert found.is_camera_still


def test_nothing_moves_but_noise() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (240, 320))
    photos = [np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8) for _ in range(12)]

    assert resting_cells(photos) is None


def test_a_still_camera_among_few_of_the_photos_says_nothing() -> None:
    burst = [Pair.of(f"{i:02d}", f"{j:02d}") for i in range(5) for j in range(i)]

    assert overlay(on_a_turntable(burst), SIZE, NUM_PHOTOS) is None


def test_what_rests_while_the_picture_moves_is_an_overlay() -> None:
    found = overlay(drawn(), SIZE, NUM_PHOTOS)

    assert found is not None
    assert not found.is_camera_still
    cells = found.cells
    border = int(BAND * ROWS)
    assert cells[border - 1 :].all()
    assert not cells[: border - 1].any()


@pytest.mark.parametrize(
    "matches",
    [
        {"with_band": False},
        {"num_pairs": 4},
        {"wrong": 1.0},
    ],
    ids=["no band", "few pairs", "nothing right"],
)
def test_nothing_else_is_an_overlay(matches: dict) -> None:
    assert overlay(drawn(**matches), SIZE, NUM_PHOTOS) is None


def test_no_matches_are_no_overlay() -> None:
    nothing = [(consecutive(i), np.zeros((0, 2)), np.zeros((0, 2))) for i in range(10)]

    assert overlay([], SIZE, NUM_PHOTOS) is None
    assert overlay(nothing, SIZE, NUM_PHOTOS) is None


def test_the_users_masks_stay_black(tmp_path: Path) -> None:
    """Cells are remembered for photos of a folder and size; a photo of another size has a white mask."""
    mask = tmp_path / "mine.png"
    Image.fromarray(np.arange(640)[None].repeat(480, axis=0) >= 320).save(mask)
    photos = tuple(
        Photo(name, Path(name), Path(name), name, width, 480, 1, 1, Exif(), mask=own)
        for name, width, own in (("a.jpg", 640, mask), ("b.jpg", 640, None), ("c.jpg", 600, None))
    )
    rows = ["0" * COLUMNS] * (ROWS - 6) + ["1" * COLUMNS] * 6
    (tmp_path / "overlays.json").write_text(json.dumps({"640x480 ": rows}))

    masked = with_known_overlays(Collection(photos, {}), tmp_path)

    pixels = {name: np.asarray(Image.open(tmp_path / "masks" / f"{name}.jpg.png")) > 0 for name in "abc"}
    assert pixels["a"][:360, 320:].all()
    assert not pixels["a"][360:].any()
    assert not pixels["a"][:, :320].any()
    assert pixels["b"][:360].all()
    assert not pixels["b"][360:].any()
    assert pixels["c"].all()
    assert [photo.mask is None for photo in masked.photos] == [False, False, True]


def test_matches_at_rest_are_left_out_where_a_camera_stood_still(tmp_path: Path) -> None:
    """Background that the masks have left is most of the matches."""
    names = ("a.jpg", "b.jpg")
    still = ["0" * FINER * COLUMNS] * (FINER * ROWS)
    (tmp_path / "overlays.json").write_text(json.dumps({f"photo {name}": still for name in names}))
    photos = tuple(Photo(name, Path(name), Path(name), name, *SIZE, 1, 1, Exif()) for name in names)
    known = with_known_overlays(Collection(photos, {}), tmp_path).photos
    database = _turned_before_a_background(tmp_path / "database.db", names, at_rest=60, moving=40)

    inliers = {}
    for some in (photos, known):
        options = verification_options(VerifyConfig(), 0, some)
        with pycolmap.Database.open(database.path) as db:
            db.clear_two_view_geometries()
        verify_pairs(
            [Pair(*names)], database, scratch_dir=tmp_path, options=options, progress=SilentProgress()
        )
        with pycolmap.Database.open(database.path) as db:
            rows = np.asarray(db.read_two_view_geometry(1, 2).inlier_matches)
        inliers[some[0].is_camera_still] = {int(row) for row in rows[:, 0]}

    assert inliers[False] >= set(range(60))
    assert inliers[True] <= set(range(60, 100))
    assert len(inliers[True]) > 30  # others are near the axis


def _turned_before_a_background(
    path: Path, names: Sequence[str], *, at_rest: int, moving: int
) -> FeatureDatabase:
    """Two photos whose first matches rest, and whose others are of points that turn about the vertical."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (moving, 3))
    turn = pycolmap.Rotation3d(np.array([0.0, 0.4, 0.0])).matrix()
    rest = rng.uniform((0, 0), SIZE, (at_rest, 2))
    with pycolmap.Database.open(path) as db:
        camera = pycolmap.Camera.create_from_model_name(1, "SIMPLE_PINHOLE", 600.0, *SIZE)
        db.write_camera(camera, use_camera_id=True)
        for image_id, (name, seen) in enumerate(zip(names, (points, points @ turn.T), strict=True), 1):
            image = pycolmap.Image(name=name, camera_id=1, image_id=image_id)
            db.write_image(image, use_image_id=True)
            xy = np.vstack((rest, camera.img_from_cam(seen + np.array([0, 0, 6.0]))))
            db.write_keypoints(image_id, xy.astype(np.float32))
        db.write_matches(1, 2, np.arange(at_rest + moving, dtype=np.uint32)[:, None].repeat(2, axis=1))
    return FeatureDatabase(path)


@pytest.mark.parametrize("stored", ["", "[]", '{"640x480 ": ["01"]}', '{"640x480 ": 3}'])
def test_damaged_notes_are_ignored(stored: str, tmp_path: Path) -> None:
    (tmp_path / "overlays.json").write_text(stored)
    collection = Collection((Photo("a.jpg", Path("a"), Path("a"), "a", 640, 480, 1, 1, Exif()),), {})

    assert with_known_overlays(collection, tmp_path) == collection


def test_photos_with_a_bonnet_at_their_foot_are_placed_right(demo_data: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    bonnet = None
    for path in sorted((demo_data / "images").iterdir())[:8]:
        with Image.open(path) as picture:
            small = picture.reduce(2)
        if bonnet is None:
            noise = rng.integers(0, 255, (small.height // 16, small.width // 4, 3), np.uint8)
            bonnet = Image.fromarray(noise).resize((small.width, small.height // 4), Image.Resampling.BICUBIC)
        small.paste(bonnet, (0, small.height - bonnet.height))
        small.save(photos / path.name, quality=95)
    config = Config(
        run=RunConfig(threads=2), sift=SiftConfig(max_num_features=1500), export=ExportConfig(report=False)
    )

    seen = []
    for _ in range(2):
        result = sfm.run(photos, output=tmp_path / "out", config=config)
        lines = (tmp_path / "out" / "events.jsonl").read_text().splitlines()
        seen.append([event for event in map(json.loads, lines) if event["event"] == "overlay"])

    found = sfm.evaluate(tmp_path / "out", demo_data / "gt.json")
    assert [len(events) for events in seen] == [1, 0]  # the second run knows it
    assert seen[0][0]["covered"] == pytest.approx(7 / ROWS, abs=0.05)
    assert result.reconstruction is not None
    assert result.reconstruction.num_reg_images() == 8
    assert found.overall.ate is not None
    assert found.overall.ate.normalised < 0.01
