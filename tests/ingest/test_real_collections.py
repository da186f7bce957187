"""Collections of real photos come in with the cameras, places and times that their owners know of."""

import pytest

pytestmark = pytest.mark.shared


def test_saharov_is_one_camera_with_a_true_focal_length(output, shared_data) -> None:
    collection = output.ingest(shared_data / "saharov32" / "images")

    assert len(collection.photos) == 32
    assert {photo.orientation for photo in collection.photos} == {8}
    (camera,) = collection.cameras.values()
    assert (camera.width, camera.height) == (1092, 728)
    assert camera.params[0] == pytest.approx(1525, rel=0.01)
    assert camera.has_prior_focal_length


def test_monstree_keeps_stored_pixels_of_turned_photos(output, shared_data) -> None:
    collection = output.ingest(shared_data / "monstree" / "images")

    assert {photo.orientation for photo in collection.photos} == {1, 6}
    assert {(photo.width, photo.height) for photo in collection.photos} == {(1280, 960)}
    assert len(collection.cameras) == 1
    assert all(photo.exif.latitude_deg for photo in collection.photos)


def test_brighton_beach_has_positions_and_times(output, shared_data) -> None:
    photos = output.ingest(shared_data / "brighton_beach" / "images").photos

    latitudes = [photo.exif.latitude_deg for photo in photos]
    longitudes = [photo.exif.longitude_deg for photo in photos]
    # A flight over one lawn in Minnesota.
    assert all(46 < latitude < 47.5 for latitude in latitudes)
    assert all(-93 < longitude < -91 for longitude in longitudes)
    assert max(latitudes) - min(latitudes) < 0.01
    assert all(100 < photo.exif.altitude_m < 500 for photo in photos)
    times = [photo.exif.timestamp_s for photo in photos]
    assert times == sorted(times)
    assert max(times) - min(times) < 3600
    assert {(photo.exif.make, photo.exif.model) for photo in photos} == {("DJI", "FC300S")}


def test_dup_cereal_has_a_camera_per_zoom_and_orientation(output, shared_data) -> None:
    collection = output.ingest(shared_data / "dup_cereal" / "images")

    found = {(c.width, c.height, round(c.params[0])) for c in collection.cameras.values()}
    assert found == {(1067, 800, 740), (1067, 800, 1233), (800, 1067, 1233)}


def test_sacre_coeur_is_ten_cameras_without_prior(output, shared_data) -> None:
    collection = output.ingest(shared_data / "sacre_coeur" / "images")

    assert len(collection.cameras) == 10
    assert not any(camera.has_prior_focal_length for camera in collection.cameras.values())
