"""Which files count as photos, and under which names."""

import os

import numpy as np
import pycolmap
import pytest

from sfm.errors import InputError
from sfm.ingest.discover import discover
from sfm.ingest.names import model_name, unique_name


def test_photos_are_found_in_subfolders_in_the_order_of_names(output, photos, make_photo) -> None:
    for name in ("b.jpg", "a/b.jpg", "a/c/b.jpg", "B.JPG", "z.jpeg"):
        make_photo(name, format="JPEG")

    assert output.ingest(photos).names == ("B.JPG", "a/b.jpg", "a/c/b.jpg", "b.jpg", "z.jpeg")


def test_what_is_no_photo_is_passed_over_and_counted(output, photos, make_photo) -> None:
    for name in (
        "a.jpg",
        "b.jpg",
        ".hidden.jpg",
        "._a.jpg",
        ".cache/c.jpg",
        "@eaDir/a.jpg",
        "__MACOSX/a.jpg",
    ):
        make_photo(name)
    for name in ("Thumbs.db", "notes.txt", "movie.mp4"):
        (photos / name).touch()

    collection = output.ingest(photos)

    assert collection.names == ("a.jpg", "b.jpg")
    assert collection.skipped == ()
    assert ("ignored", {"num_files": 3, "examples": ["Thumbs.db", "movie.mp4", "notes.txt"]}) in output.events


def test_an_output_inside_the_photos_is_not_read_back(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.webp")
    output.root = photos / "result"
    earlier = photos / "earlier"
    (earlier / "cache").mkdir(parents=True)
    (earlier / "cache" / "workspace.json").touch()
    make_photo("earlier/images/c.jpg")

    first, second = output.ingest(photos), output.ingest(photos)

    assert first.names == ("a.jpg", "b.webp.jpg")
    assert first == second


def test_the_output_itself_is_refused_as_photo_folder(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    output.root = photos

    with pytest.raises(InputError, match="output folder itself"):
        output.ingest(photos)


def test_linked_folders_are_followed_and_circles_end(output, photos, make_photo, tmp_path) -> None:
    make_photo("a.jpg")
    elsewhere = make_photo("elsewhere/b.jpg").parent.rename(tmp_path / "elsewhere")
    (photos / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(photos)

    assert output.ingest(photos).names == ("a.jpg", "linked/b.jpg")


def test_spaces_and_unicode_stay_and_line_breaks_are_escaped(output, photos, make_photo) -> None:
    names = [
        "my photo (1).jpg",
        "ärger/日本 é.jpg",
        "two\nlines.jpg",
        "tab\t.jpg",
        "sep\u2028.jpg",
        "100%.jpg",
    ]
    for name in names:
        make_photo(name)
    raw = os.fsdecode(b"latin\xe9.jpg")
    os.rename(make_photo("latin.jpg"), photos / raw)

    collection = output.ingest(photos)

    assert set(collection.names) == {
        "my photo (1).jpg",
        "ärger/日本 é.jpg",
        "two%0Alines.jpg",
        "tab%09.jpg",
        "sep%E2%80%A8.jpg",
        "100%.jpg",
        "latin%E9.jpg",
    }
    assert all((output.images / name).is_file() for name in collection.names)
    assert {photo.source.name for photo in collection.photos} >= {"two\nlines.jpg", raw}
    renamed = {fields["name"] for event, fields in output.events if event == "photo" and "source" in fields}
    assert renamed == {"two%0Alines.jpg", "tab%09.jpg", "sep%E2%80%A8.jpg", "latin%E9.jpg"}
    assert output.ingest(photos) == collection


def test_escaping_never_merges_two_names(output, photos, make_photo) -> None:
    make_photo("a\n.jpg")
    make_photo("a%0A.jpg")

    collection = output.ingest(photos)

    assert collection.names == ("a%0A.jpg", "a%0A~2.jpg")


def test_names_that_models_cannot_carry() -> None:
    assert model_name("plain é/日 本.jpg") == "plain é/日 本.jpg"
    assert model_name("\x00\r\x85\u2029") == "%00%0D%C2%85%E2%80%A9"
    assert unique_name("d/a.jpg", {"d/a.jpg", "d/a~2.jpg"}) == "d/a~3.jpg"


def test_a_name_too_long_for_its_escaped_form_is_skipped(output, photos, make_photo) -> None:
    make_photo("a.jpg")
    make_photo("b.jpg")
    make_photo("\n" * 120 + ".jpg")

    collection = output.ingest(photos)

    assert collection.names == ("a.jpg", "b.jpg")
    assert "a part of it has 364 bytes" in collection.skipped[0].reason
    assert sorted(p.name for p in output.images.iterdir()) == ["a.jpg", "b.jpg"]


def test_colmap_extracts_features_under_all_these_names(output, photos, make_photo, tmp_path) -> None:
    for name in ("a b.jpg", "é/日本.jpg", "line\nbreak.jpg", "photo.webp"):
        make_photo(name, size=(200, 150))
    collection = output.ingest(photos)
    options = pycolmap.FeatureExtractionOptions(num_threads=1)

    pycolmap.extract_features(
        tmp_path / "database.db",
        output.images,
        image_names=list(collection.names),
        extraction_options=options,
    )

    with pycolmap.Database.open(tmp_path / "database.db") as database:
        images = database.read_all_images()
        counts = [len(database.read_keypoints(image.image_id)) for image in images]
    assert {image.name for image in images} == set(collection.names)
    assert all(counts)


def test_binary_models_carry_all_these_names(tmp_path) -> None:
    names = ["a b.jpg", " lead/trail .jpg", "日本 é.jpg", "two%0Alines.jpg"]
    model = pycolmap.Reconstruction()
    model.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 100.0, 160, 128))
    for image_id, name in enumerate(names, start=1):
        image = pycolmap.Image(name=name, camera_id=1, image_id=image_id)
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d())

    model.write_binary(tmp_path)

    read = pycolmap.Reconstruction(str(tmp_path))
    assert [read.image(i).name for i in sorted(read.images)] == names
    assert np.isfinite(read.image(1).cam_from_world().matrix()).all()


def test_exported_pictures_are_no_photos(tmp_path) -> None:
    for name in ("a.jpg", "exported/images/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"photo")
    (tmp_path / "exported" / "loopsfm_export.json").write_text("{}")

    assert [file.name for file in discover(tmp_path).files] == ["a.jpg"]
    assert [file.name for file in discover(tmp_path / "exported").files] == ["images/a.jpg"]
