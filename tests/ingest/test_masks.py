"""Masks fit their photos, or the user hears which don't."""

import numpy as np
import pycolmap
import pytest
from PIL import Image

from sfm.errors import InputError
from sfm.ingest import masks_dir


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    return folder


def write_mask(path, size=(96, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.full(size[::-1], 255, np.uint8)
    mask[:, : size[0] // 2] = 0
    Image.fromarray(mask).save(path)


def test_masks_are_found_by_colmaps_names(output, photos, make_photo, masks) -> None:
    for name in ("a.jpg", "sub/a.jpg", "b.png", "c.jpg", "d.webp"):
        make_photo(name)
    for name in ("a.jpg.png", "sub/a.jpg.png", "b.png", "d.webp.png"):
        write_mask(masks / name)

    collection = output.ingest(photos, masks=str(masks))

    assert {p.name: p.mask.relative_to(masks).as_posix() for p in collection.photos if p.mask} == {
        "a.jpg": "a.jpg.png",
        "sub/a.jpg": "sub/a.jpg.png",
        "b.png": "b.png",
        "d.webp.jpg": "d.webp.png",
    }
    links = masks_dir(output.cache)
    assert sorted(p.relative_to(links).as_posix() for p in links.rglob("*.png")) == [
        "a.jpg.png",
        "b.png.png",
        "c.jpg.png",
        "d.webp.jpg.png",
        "sub/a.jpg.png",
    ]


def test_colmap_heeds_the_masks_and_does_without_missing_ones(
    output, photos, make_photo, masks, tmp_path
) -> None:
    make_photo("a b.jpg", size=(320, 240))
    make_photo("whole.jpg", size=(320, 240))
    write_mask(masks / "a b.jpg.png", (320, 240))
    collection = output.ingest(photos, masks=str(masks))
    reader = pycolmap.ImageReaderOptions(mask_path=masks_dir(output.cache))

    pycolmap.extract_features(
        tmp_path / "database.db",
        output.images,
        image_names=list(collection.names),
        reader_options=reader,
        extraction_options=pycolmap.FeatureExtractionOptions(num_threads=1),
    )

    with pycolmap.Database.open(tmp_path / "database.db") as database:
        x = {i.name: database.read_keypoints(i.image_id)[:, 0] for i in database.read_all_images()}
    assert x["a b.jpg"].min() >= 160
    assert x["whole.jpg"].min() < 160


def test_all_masks_that_do_not_fit_are_named_at_once(output, photos, make_photo, masks) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        make_photo(name)
    write_mask(masks / "a.jpg.png", (96, 60))
    write_mask(masks / "b.jpg.png")
    (masks / "c.jpg.png").write_text("no picture")

    with pytest.raises(InputError) as caught:
        output.ingest(photos, masks=str(masks))

    message = str(caught.value)
    assert "2 masks do not fit" in message
    assert "a.jpg.png is 96 x 60 px, its photo 96 x 64" in message
    assert "c.jpg.png cannot be read" in message
    assert "b.jpg" not in message


def test_a_mask_of_the_upright_photo_is_explained(output, photos, make_photo, masks) -> None:
    make_photo("a.jpg", exif={0x0112: 6})
    make_photo("b.jpg")
    write_mask(masks / "a.jpg.png", (64, 96))

    with pytest.raises(InputError, match="turned upright"):
        output.ingest(photos, masks=str(masks))


def test_folders_without_any_fitting_mask_are_refused(output, photos, make_photo, masks, tmp_path) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    write_mask(masks / "a_mask.png")

    with pytest.raises(InputError, match=r"looked for a\.jpg\.png and the like, found a_mask\.png"):
        output.ingest(photos, masks=str(masks))
    with pytest.raises(InputError, match="missing does not exist"):
        output.ingest(photos, masks=str(tmp_path / "missing"))
    with pytest.raises(InputError, match="is not a folder"):
        output.ingest(photos, masks=str(masks / "a_mask.png"))


@pytest.mark.parametrize("where", ["masks", "."])
def test_masks_among_the_photos_are_no_photos(output, photos, make_photo, where) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    write_mask(photos / where / "a.jpg.png")

    collection = output.ingest(photos, masks=str(photos / where))

    assert collection.names == ("a.jpg", "b.jpg")
    assert [bool(photo.mask) for photo in collection.photos] == [True, False]


def test_links_to_masks_follow_the_masks(output, photos, make_photo, masks) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    write_mask(masks / "a.jpg.png")
    output.ingest(photos, masks=str(masks))

    (masks / "a.jpg.png").rename(masks / "b.jpg.png")
    output.ingest(photos, masks=str(masks))

    links = masks_dir(output.cache)
    assert (links / "b.jpg.png").resolve() == (masks / "b.jpg.png").resolve()
    with Image.open(links / "a.jpg.png") as white:
        assert (white.size, white.getextrema()) == ((96, 64), (255, 255))
