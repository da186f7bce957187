"""`sfm localize --reference`: one photo is enough, the answer is in metres, and what cannot be is said."""

import json
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from tests.e2e.conftest import Command

ORACLE = ("backend=mast3r", "mast3r.image_size=96", "--threads", "1")
LENS = ("images.camera_model=SIMPLE_RADIAL", "images.camera_params=154,96,72,-0.05")


def true_pose(scene: Path, name: str) -> pycolmap.Rigid3d:
    entry = json.loads((scene / "gt.json").read_text())["images"][name]
    return pycolmap.Rigid3d(pycolmap.Rotation3d(np.array(entry["R_cw"])), np.array(entry["t_cw"]))


def words(scene: Path, *queries: str) -> list[str | Path]:
    """The command on a reference and queries of the rendered room."""
    images = scene / "images"
    asked = [word for query in queries for word in ("--query", images / query)]
    return [
        "localize", "--reference", images / "photo_01.jpg", *asked, *ORACLE,
        f"internal.mast3r.oracle={scene}",
    ]  # fmt: skip


@pytest.mark.parametrize("lens", [LENS, ()], ids=["given", "pointmaps"])
def test_queries_are_located_in_metres_before_the_reference(
    scene: Path, tmp_path: Path, sfm_command: Command, lens: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    done = sfm_command(*words(scene, "photo_02.jpg", "photo_00.jpg"), *lens, "-o", out, "--json", "-q")

    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((out / "poses.json").read_text())
    assert printed["reference"] == "photo_01.jpg"
    assert [query["name"] for query in printed["queries"]] == ["photo_02.jpg", "photo_00.jpg"]
    for query in printed["queries"]:
        true = true_pose(scene, query["name"]) * true_pose(scene, "photo_01.jpg").inverse()
        found = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array(query["R_cw"])), np.array(query["t_cw"]))
        off = (found * true.inverse()).rotation.angle()
        # A network pixel is two of the photo's, and 0.37 deg; pinholes stand in for a lens with distortion.
        assert np.degrees(off) < (0.5 if lens else 1.5)
        assert np.linalg.norm(np.array(query["centre"]) - true.inverse().translation) < 0.12
        assert query["camera"]["intrinsics"] == ("given" if lens else "pointmaps")
        assert query["reference_camera"]["params"][0] == pytest.approx(154, rel=0.05)
        assert np.array(query["covariance"]).shape == (6, 6)
        assert 15 <= query["num_inliers"] <= query["num_matches"]
        assert query["method"] in ("essential", "pnp")


def test_photos_of_one_camera_have_one_focal_length_with_one_error(scene: Path, sfm_command: Command) -> None:
    def located(*options: str) -> tuple[float, float, float]:
        done = sfm_command(*words(scene, "photo_02.jpg"), *options, "--json", "-q")
        (query,) = json.loads(done.stdout)["queries"]
        turned = np.sqrt(np.trace(np.array(query["covariance"])[:3, :3]))
        return query["camera"]["params"][0], query["reference_camera"]["params"][0], turned

    here, there, sigma = located()
    own_here, own_there, own_sigma = located("images.camera_sharing=per_image")

    assert own_here != own_there
    assert here == there == pytest.approx(np.sqrt(own_here * own_there))
    # A principal point that is off in one of two photos turns it; in both, it hardly does.
    assert sigma < 0.7 * own_sigma


def test_the_table_says_where_and_nothing_is_kept_without_out(
    scene: Path, tmp_path: Path, sfm_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    done = sfm_command(*words(scene, "photo_02.jpg"))

    assert done.returncode == 0, done.stderr
    assert "localised   1 of 1 photos" in done.stdout
    assert "(pointmaps)  at " in done.stdout
    assert "world       the camera of photo_01.jpg" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_intrinsics_of_single_photos_come_from_a_file(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    path = tmp_path / "intrinsics.txt"
    lines = ["# photo fx fy cx cy width height", "photo_01.jpg 154 154 96 72 192 144"]
    path.write_text("\n".join([*lines, "images/photo_02.jpg 150 151 96 72 192 144"]))
    command = [*words(scene, "photo_02.jpg"), "--intrinsics", path, "--json", "-q"]

    done = sfm_command(*command)

    assert done.returncode == 0, done.stderr
    (query,) = json.loads(done.stdout)["queries"]
    assert query["camera"]["params"] == [150, 151, 96, 72]
    assert query["reference_camera"]["params"] == [154, 154, 96, 72]

    for text, message in (
        (lines[1], "has no line of"),
        ("\n".join([lines[1], "photo_02.jpg 150 151 96 72 144 192"]), "192 x 144 px, not 144 x 192"),
        ("photo_01.jpg 154 154", "intrinsics.txt:1: 3 values"),
        ("photo_01.jpg 154 154 96 720 192 144", "intrinsics.txt:1: the principal point"),
    ):
        path.write_text(text)
        refused = sfm_command(*command)
        assert refused.returncode == 3
        assert message in refused.stderr
        assert str(path) in refused.stderr


def test_a_query_that_shows_something_else_is_named_with_the_reason(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((scene / "images" / "photo_02.jpg").read_bytes()[:500])
    good = words(scene, "photo_02.jpg")
    # The oracle knows photos by their name below the folder that all of them share.
    beside = scene / "images" / "broken.jpg"
    beside.write_bytes(broken.read_bytes())
    try:
        one = sfm_command(*good, "--query", beside, "--json", "-q")
        none = sfm_command(*words(scene), "--query", beside, "-q")
    finally:
        beside.unlink()

    assert one.returncode == 0, one.stderr
    states = {query["name"]: query["state"] for query in json.loads(one.stdout)["queries"]}
    assert states == {"photo_02.jpg": "localised", "broken.jpg": "not localised"}
    assert none.returncode == 6
    assert "none of 1 photo could be localised" in none.stderr
    assert "broken.jpg: " in none.stderr


@pytest.mark.parametrize(
    ("more", "exit_code", "message"),
    [
        (("backend=sift",), 2, "sfm localize MODEL PHOTOS"),
        (("backend=aliked",), 2, "backend=aliked cannot localise by one photo"),
        (("--query", "none.jpg"), 3, "none.jpg does not exist"),
        (("--query", "{images}"), 3, "is a folder"),
        (("--query", "{images}/photo_01.jpg"), 3, "both the reference and a query"),
        (("{images}",), 2, "with --reference there is no MODEL"),
        (("--database", "{images}"), 2, "with --reference there is no MODEL"),
        (("--intrinsics", "none.txt"), 3, "none.txt"),
        (("internal.mast3r.oracle=null", "mast3r.weights_dir=none"), 4, "weights"),
    ],
)
def test_what_cannot_be_is_said(
    scene: Path, sfm_command: Command, more: tuple[str, ...], exit_code: int, message: str
) -> None:
    filled = [word.format(images=scene / "images") for word in more]

    done = sfm_command(*words(scene, "photo_02.jpg"), *filled)

    assert done.returncode == exit_code, done.stderr
    assert message in done.stderr


def test_a_reference_that_is_no_photo_is_named_before_weights(
    scene: Path, sfm_command: Command, tmp_path: Path
) -> None:
    (tmp_path / "notes.jpg").write_text("words")
    query = scene / "images" / "photo_02.jpg"

    done = sfm_command(
        "localize", "--reference", tmp_path / "notes.jpg", "--query", query, f"mast3r.weights_dir={tmp_path}"
    )

    assert done.returncode == 3
    assert f"{tmp_path / 'notes.jpg'} cannot be used as reference: it is no photo" in done.stderr


@pytest.mark.parametrize("missing", ["--reference", "--query"])
def test_reference_and_query_belong_together(scene: Path, sfm_command: Command, missing: str) -> None:
    given = "--query" if missing == "--reference" else "--reference"

    done = sfm_command("localize", given, scene / "images" / "photo_01.jpg")

    assert done.returncode == 2
    assert "belong together" in done.stderr


def test_a_foreign_folder_is_refused_and_an_own_one_used_again(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "poses.json").write_text("mine")

    refused = sfm_command(*words(scene, "photo_02.jpg"), "-o", foreign)
    first = sfm_command(*words(scene, "photo_02.jpg"), "-o", tmp_path / "out", "--json", "-q")
    again = sfm_command(*words(scene, "photo_02.jpg"), "-o", tmp_path / "out", "--json", "-q")

    assert refused.returncode == 5
    assert (foreign / "poses.json").read_text() == "mine"
    assert first.returncode == again.returncode == 0
    assert first.stdout == again.stdout


def test_a_photo_that_is_stored_on_its_side_has_the_pose_of_its_stored_pixels(
    scene: Path, tmp_path: Path, sfm_command: Command
) -> None:
    """EXIF turns the picture, and the network sees it upright; the pose is of the pixels as they lie."""
    from tests.rooms import Shot, speckled, write_room

    textures = speckled(1, 720, 720), speckled(2, 160, 1080), speckled(3, 128, 512)
    shots = {"a.jpg": Shot((-0.4, -2.6, 1.5)), "b.jpg": Shot((0.4, -2.6, 1.5))}
    room = write_room(tmp_path / "room", shots, height_m=3.5, textures=textures)
    upright = true_pose(room, "b.jpg") * true_pose(room, "a.jpg").inverse()
    path = room / "images" / "b.jpg"
    with Image.open(path) as photo:
        exif = photo.getexif()
        exif[0x0112] = 6
        turned = photo.transpose(Image.Transpose.ROTATE_90)
        turned.save(path, exif=exif, quality=95)
    images = room / "images"

    done = sfm_command(
        "localize", "--reference", images / "a.jpg", "--query", path, *ORACLE, "--json", "-q",
        f"internal.mast3r.oracle={room}",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    (query,) = json.loads(done.stdout)["queries"]
    # Stored x is upright y, stored y is upright -x.
    stored = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]) @ upright.rotation.matrix()
    found = np.array(query["R_cw"])
    assert np.degrees(np.arccos((np.trace(found.T @ stored) - 1) / 2)) < 1.5
    assert np.linalg.norm(np.array(query["centre"]) - upright.inverse().translation) < 0.15
