"""Who shares a camera, and what users' own intrinsics must look like."""

from typing import get_args

import pytest

from sfm.config.schema import CameraModel, ImagesConfig
from sfm.errors import ConfigError, InputError
from sfm.ingest.cameras import Shot, assign_cameras

WIDE, TALL = (400, 300), (300, 400)


def ids(shots, **config) -> list[int]:
    camera_ids = assign_cameras(shots, ImagesConfig(**config))[1]
    return [camera_ids[shot.name] for shot in shots]


def cameras(shots, **config):
    return assign_cameras(shots, ImagesConfig(**config))[0]


@pytest.mark.parametrize(
    ("shots", "expected"),
    [
        ([Shot("a.jpg", WIDE), Shot("b.jpg", WIDE)], [1, 1]),
        ([Shot("a.jpg", WIDE), Shot("b.jpg", TALL), Shot("c.jpg", WIDE)], [1, 2, 1]),
        ([Shot("a.jpg", WIDE), Shot("d/b.jpg", WIDE), Shot("d/c.jpg", WIDE)], [1, 2, 2]),
        ([Shot("a.jpg", WIDE, 300.0, "X"), Shot("d/b.jpg", WIDE, 300.0, "X")], [1, 1]),
        ([Shot("a.jpg", WIDE, 300.0, "X"), Shot("b.jpg", WIDE, 310.0, "X")], [1, 2]),
        ([Shot("a.jpg", WIDE, 300.0, "X"), Shot("b.jpg", WIDE, 300.0, "Y")], [1, 2]),
        ([Shot("a.jpg", WIDE, 300.0, "X"), Shot("b.jpg", TALL, 300.0, "X")], [1, 2]),
        ([Shot("a.jpg", WIDE, None, "X"), Shot("b.jpg", WIDE, None, "Y")], [1, 2]),
        ([Shot("a.jpg", WIDE, None, "X"), Shot("d/b.jpg", WIDE, None, "X")], [1, 2]),
        # A focal length without a device tells nothing beyond its folder.
        ([Shot("a.jpg", WIDE, 300.0), Shot("b.jpg", WIDE, 300.0), Shot("d/c.jpg", WIDE, 300.0)], [1, 1, 2]),
        ([Shot("a.jpg", WIDE, 300.0, "X"), Shot("b.jpg", WIDE)], [1, 2]),
    ],
)
def test_auto_sharing(shots, expected) -> None:
    assert ids(shots) == expected


def test_other_sharings() -> None:
    shots = [Shot("a.jpg", WIDE, 300.0, "X"), Shot("b.jpg", WIDE, 400.0, "Y"), Shot("d/c.jpg", WIDE)]

    assert ids(shots, camera_sharing="single") == [1, 1, 1]
    assert ids(shots, camera_sharing="per_folder") == [1, 1, 2]
    assert ids(shots, camera_sharing="per_image") == [1, 2, 3]
    assert ids([Shot("a.jpg", WIDE), Shot("b.jpg", TALL)], camera_sharing="per_folder") == [1, 2]


def test_a_single_camera_needs_one_size() -> None:
    with pytest.raises(
        InputError, match=r"2 sizes: 400 x 300 \(2 photos\), 300 x 400 \(1 photos\)"
    ) as caught:
        ids([Shot("a", WIDE), Shot("b", TALL), Shot("c", WIDE)], camera_sharing="single")

    assert "auto" in caught.value.hint


def test_guessed_and_prior_focal_lengths() -> None:
    guessed = cameras([Shot("a", TALL), Shot("b", TALL)])[1]
    prior = cameras([Shot("a", WIDE, 333.0, "X")], camera_model="OPENCV")[1]
    halved = cameras([Shot("a", WIDE)], default_focal_factor=0.5)[1]

    assert (guessed.params, guessed.has_prior_focal_length) == ((480.0, 150.0, 200.0, 0.0), False)
    assert (prior.params[:4], prior.has_prior_focal_length) == ((333.0, 333.0, 200.0, 150.0), True)
    assert len(prior.params) == 8
    assert not prior.fixed
    assert halved.params[0] == 200.0


def test_zoomed_photos_forced_to_share_have_no_prior() -> None:
    shots = [Shot("a", WIDE, 300.0, "X"), Shot("b", WIDE, 600.0, "X")]

    camera = cameras(shots, camera_sharing="single")[1]

    assert (camera.params[0], camera.has_prior_focal_length) == (450.0, False)


def test_known_intrinsics_are_fixed() -> None:
    shots = [Shot("a.jpg", WIDE, 300.0, "X"), Shot("b.jpg", WIDE)]
    config = {"camera_params": "310.5, 311, 199, 151", "camera_model": "PINHOLE"}

    camera = cameras(shots, **config)[1]

    assert camera.params == (310.5, 311.0, 199.0, 151.0)
    assert (camera.fixed, camera.has_prior_focal_length) == (True, True)
    assert ids(shots, **config) == [1, 1]
    assert ids(shots, **config, camera_sharing="per_image") == [1, 2]


@pytest.mark.parametrize("model", get_args(CameraModel))
def test_every_camera_model_is_guessed_and_given(model) -> None:
    shots = [Shot("a", WIDE), Shot("b", WIDE)]
    guessed = cameras(shots, camera_model=model)[1]

    given = cameras(shots, camera_model=model, camera_params=",".join(map(str, guessed.params)))[1]

    assert (given.model, given.params, given.fixed) == (model, guessed.params, True)
    assert guessed.has_prior_focal_length == (model == "EQUIRECTANGULAR")  # which has none to be guessed


def test_a_camera_that_sees_all_around_repeats_its_size() -> None:
    with pytest.raises(InputError, match="EQUIRECTANGULAR repeats the photos' size: 400, 300"):
        cameras([Shot("a", WIDE)], camera_model="EQUIRECTANGULAR", camera_params="400, 200")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("310, 199, 151", "SIMPLE_RADIAL takes 4 parameters"),
        ("310, 199, 151, zero", "'zero' is not a number"),
        ("310, 199, 151, nan", "'nan' is not a number"),
        ("310, 199, 151,", "an empty value is not a number"),
        ("0, 199, 151, 0", "focal length of 0 px is impossible"),
        ("1.2, 0.5, 0.5, 0", "focal length of 1.2 px is impossible"),
        ("310, 1990, 151, 0", "principal point 1990, 151 lies outside"),
        ("", "takes 4 parameters"),
    ],
)
def test_impossible_camera_params(params, message) -> None:
    with pytest.raises(InputError, match=message):
        cameras([Shot("a", WIDE), Shot("b", WIDE)], camera_params=params)


def test_camera_params_are_for_one_size() -> None:
    with pytest.raises(InputError, match=r"there are 2: .*300 x 400") as caught:
        cameras([Shot("a", WIDE), Shot("b", TALL)], camera_params="310, 199, 151, 0")

    assert "cameras_file" in caught.value.hint


def test_a_cameras_file_tells_photos_apart_by_size(tmp_path) -> None:
    path = tmp_path / "cameras.txt"
    path.write_text(
        "# Camera list\n\n7 PINHOLE 400 300 310 310 200 150\n3 SIMPLE_RADIAL 300 400 305 150 200 0.1\n"
    )
    shots = [Shot("a", TALL), Shot("b", WIDE), Shot("c", TALL)]

    found = cameras(shots, cameras_file=str(path))

    assert ids(shots, cameras_file=str(path)) == [1, 2, 1]
    assert [(c.camera_id, c.model, c.params[0], c.fixed) for c in found.values()] == [
        (1, "SIMPLE_RADIAL", 305.0, True),
        (2, "PINHOLE", 310.0, True),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "holds no camera"),
        ("1 PINHOLE 400 300\n", r"cameras\.txt:1: 4 values"),
        ("# c\n1 PINHOL 400 300 1 1 1 1\n", r"cameras\.txt:2: unknown camera model 'PINHOL'"),
        ("1 PINHOLE 400 -300 310 310 200 150\n", r":1: '-300' is not a positive whole number"),
        ("x PINHOLE 400 300 310 310 200 150\n", r":1: 'x' is not a positive whole number"),
        ("1 PINHOLE 400 300 310 310 200\n", r":1: PINHOLE takes 4 parameters \(fx, fy, cx, cy\), not 3"),
        ("1 PINHOLE 400 300 310 a 200 150\n", r":1: 'a' is not a number"),
        ("1 PINHOLE 400 300 9 9 9 9\n" * 2, "focal length of 9 px"),
        (
            "1 PINHOLE 400 300 310 310 200 150\n1 PINHOLE 300 400 310 310 150 200\n",
            ":2: camera id 1 occurs twice",
        ),
        (
            "1 PINHOLE 400 300 310 310 200 150\n2 PINHOLE 400 300 320 320 200 150\n",
            ":2: a second camera of 400",
        ),
        (
            "1 PINHOLE 800 600 610 610 400 300\n",
            r"no camera for photos of 400 x 300 \(1 photos\); it has 800 x 600",
        ),
    ],
)
def test_faulty_cameras_files(tmp_path, text, message) -> None:
    path = tmp_path / "cameras.txt"
    path.write_text(text)

    with pytest.raises(InputError, match=message):
        cameras([Shot("a", WIDE)], cameras_file=str(path))


def test_unreadable_cameras_files(tmp_path) -> None:
    with pytest.raises(InputError, match="No such file"):
        cameras([Shot("a", WIDE)], cameras_file=str(tmp_path / "missing.txt"))
    binary = tmp_path / "cameras.bin"
    binary.write_bytes(b"\x01\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        cameras([Shot("a", WIDE)], cameras_file=str(binary))


def test_only_one_kind_of_known_intrinsics(tmp_path) -> None:
    with pytest.raises(ConfigError, match="both given"):
        cameras([Shot("a", WIDE)], camera_params="1", cameras_file="cameras.txt")


def test_camera_ids_follow_the_order_of_names(output, photos, make_photo) -> None:
    make_photo("c.jpg", size=(96, 64))
    make_photo("a.jpg", size=(64, 96))
    make_photo("b.jpg", size=(96, 64))

    collection = output.ingest(photos)

    assert [(p.name, p.camera_id) for p in collection.photos] == [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 2)]
    assert (collection.cameras[1].width, collection.cameras[1].height) == (64, 96)


def test_a_photo_stored_turned_has_a_camera_of_its_own(output, photos, make_photo) -> None:
    # Both show upright as 64 x 96, but the stored pixels differ by a quarter turn.
    make_photo("phone.jpg", size=(96, 64), exif={0x0112: 6})
    make_photo("edited.jpg", size=(64, 96))

    assert len(output.ingest(photos).cameras) == 2
