"""`sfm localize --dense`: the network, here the oracle, is asked for each point of the model."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pycolmap
import pytest
import torch

import sfm
from sfm.config.loading import load_config
from sfm.errors import ConfigError, InputError
from sfm.exports.exported_depth import read_exported_depth
from sfm.mast3r.network.predictor import EncodedPhoto
from sfm.mast3r.oracle.oracle import OraclePredictor
from sfm.pipelines.localize import Localised, NotLocalised
from tests.e2e.conftest import Command
from tests.rooms import Shot, speckled, write_room

QUERY = "photo_03.jpg"
QUERIES = ["photo_02.jpg", "photo_05.jpg", "photo_07.jpg"]


@pytest.fixture(scope="module")
def model(scene: Path, sfm_command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OUT of a run without one photo, which lies in `query` beside it."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copytree(scene / "images", folder / "old")
    (folder / "query").mkdir()
    (folder / "old" / QUERY).rename(folder / "query" / QUERY)
    options = ("backend=mast3r", "mast3r.image_size=96", "export.report=false", "--threads", "1")
    done = sfm_command(
        "run", folder / "old", "-o", folder / "out", *options, f"internal.mast3r.oracle={scene}"
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


def located(model: Path, out: Path, sfm_command: Command, *more: str) -> dict:
    done = sfm_command("localize", model, model.parent / "query", "-o", out, "--json", "-q", *more)
    assert done.returncode == 0, done.stderr
    (query,) = json.loads(done.stdout)["queries"]
    assert query["state"] == "localised"
    return query


def test_a_dense_query_is_at_least_as_exact_as_one_by_keypoints(
    scene: Path, model: Path, tmp_path: Path, sfm_command: Command
) -> None:
    truth = json.loads((scene / "gt.json").read_text())["images"]
    centre = {n: -np.array(e["R_cw"]).T @ np.array(e["t_cw"]) for n, e in truth.items()}
    images = [i for i in pycolmap.Reconstruction(model / "sparse" / "0").images.values() if i.has_pose]
    fit = pycolmap.estimate_sim3d(
        np.array([i.projection_center() for i in images]), np.array([centre[i.name] for i in images])
    )
    assert fit is not None
    before = (model / "sparse" / "0" / "images.bin").read_bytes()

    sparse = located(model, tmp_path / "sparse", sfm_command)
    dense = located(model, tmp_path / "dense", sfm_command, "--dense")

    errors = [np.linalg.norm(fit * np.array(q["centre"]) - centre[QUERY]) for q in (sparse, dense)]
    # A network pixel, two of the photo's 192, covers 5 cm: a centimetre is within the noise.
    assert errors[1] < max(errors[0], 0.02) + 0.01
    assert dense["num_inliers"] > sparse["num_inliers"]
    assert dense["num_inliers"] > 0.9 * dense["num_points"]
    assert set(dense["partners"]) <= {i.name for i in images}
    assert (model / "sparse" / "0" / "images.bin").read_bytes() == before


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`scene` of eleven photos, `run` over eight of them, three queries in `query`, `views` of the model."""
    folder = tmp_path_factory.mktemp("eight")
    shots = {
        f"photo_{i:02d}.jpg": Shot(
            (0.5 * (i - 5), -2.9 + 0.05 * abs(i - 5) ** 1.5, 1.5 + 0.2 * (-1) ** i),
            size=(288, 216),
            focal_px=231,
        )
        for i in range(11)
    }
    textures = speckled(1, 1080, 1080), speckled(2, 240, 1620), speckled(3, 192, 768)
    write_room(folder / "scene", shots, height_m=3.5, textures=textures, supersample=2)
    shutil.copytree(folder / "scene" / "images", folder / "old")
    (folder / "query").mkdir()
    for name in QUERIES:
        (folder / "old" / name).rename(folder / "query" / name)
    options = ("mast3r.image_size=96", "export.report=false", f"internal.mast3r.oracle={folder / 'scene'}")
    config = load_config(overrides=("backend=mast3r", "run.threads=1", *options))
    assert sfm.run(folder / "old", output=folder / "run", config=config).models
    sfm.export(folder / "run", to="views", destination=folder / "views")
    return folder


def localised(eight: Path, out: Path, **options: object) -> tuple[float, list[Localised]]:
    """Mean distance of the queries from their true centres, m, and what was found."""
    truth = json.loads((eight / "scene" / "gt.json").read_text())["images"]
    centre = {n: -np.array(e["R_cw"]).T @ np.array(e["t_cw"]) for n, e in truth.items()}
    images = pycolmap.Reconstruction(eight / "run" / "sparse" / "0").images.values()
    fit = pycolmap.estimate_sim3d(
        np.array([i.projection_center() for i in images]), np.array([centre[i.name] for i in images])
    )
    assert fit is not None
    found = sfm.localize(eight / "run", eight / "query", output=out, **options).queries  # type: ignore[arg-type]
    located = [query for query in found if isinstance(query, Localised)]
    assert [query.name for query in located] == QUERIES
    there = [fit * query.pose.cam_from_world.inverse().translation for query in located]
    distances = [np.linalg.norm(c - centre[q.name]) for c, q in zip(there, located, strict=True)]
    return float(np.mean(distances)), located


def test_dense_queries_are_at_least_as_exact_as_keypoints_at_five_partners(
    eight: Path, tmp_path: Path
) -> None:
    sparse, by_keypoints = localised(eight, tmp_path / "sparse", partners=5)
    dense, by_points = localised(eight, tmp_path / "dense", partners=5, dense=True)
    fine, by_windows = localised(eight, tmp_path / "fine", partners=5, dense=True, coarse_to_fine=True)

    assert all(len(query.partners) <= 5 for query in (*by_keypoints, *by_points, *by_windows))
    assert dense <= sparse
    # The photos are three times as large as the network's images.
    assert fine <= dense
    pairs = zip(by_points, by_windows, strict=True)
    assert np.mean([b.pose.error_px < a.pose.error_px for a, b in pairs]) > 0.5


def test_depth_gives_many_more_points_than_a_model_has(eight: Path, tmp_path: Path) -> None:
    error, found = localised(eight, tmp_path / "out", partners=1, dense=True, depth=eight / "views")

    # A pixel of the network covers 8 cm, and its depth is wrong by a hundredth.
    assert error < 0.03
    for query in found:
        assert len(query.partners) == 1
        assert 2000 < query.pose.num_points <= 96 * 72  # once for each pixel of the network's image
        assert query.pose.num_inliers > 0.9 * query.pose.num_points


@pytest.mark.parametrize("options", [{}, {"depth": "views"}])
def test_the_most_confident_points_count_where_there_are_too_many(
    options: dict[str, str], eight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sfm.pipelines.dense_queries._MAX_POINTS", 60)
    given = {name: eight / folder for name, folder in options.items()}

    _, found = localised(eight, tmp_path / "out", partners=5, dense=True, **given)

    assert all(20 < query.pose.num_points <= 60 for query in found)


def test_partners_come_from_a_list_in_its_order(eight: Path, tmp_path: Path, sfm_command: Command) -> None:
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("".join(f"photo_05.jpg\t{other}\n" for other in ("photo_08.jpg", "photo_04.jpg")))
    listed = ("retrieval.mode=pairs", f"retrieval.pairs_file={pairs}")
    command = ("localize", eight / "run", eight / "query", "-o", tmp_path / "out", "--dense", "--json", "-q")

    done = sfm_command(*command, "--partners", "1", *listed)

    assert done.returncode == 0, done.stderr
    partners = {query["name"]: query["partners"] for query in json.loads(done.stdout)["queries"]}
    assert partners["photo_05.jpg"] == ["photo_08.jpg"]
    assert all(partners[name] != ["photo_08.jpg"] for name in ("photo_02.jpg", "photo_07.jpg"))
    pairs.write_text("photo_05.jpg\tphoto_99.jpg\n")
    refused = sfm_command(*command, *listed)
    assert refused.returncode != 0
    assert "pairs.txt:1: no photo is called 'photo_99.jpg'" in refused.stderr


def test_intrinsics_of_some_queries_come_from_a_file(
    eight: Path, tmp_path: Path, sfm_command: Command
) -> None:
    path = tmp_path / "intrinsics.txt"
    path.write_text(
        "photo_02.jpg SIMPLE_RADIAL 288 216 230.5 144 108 -0.05\nphoto_05.jpg 232 233 144 108 288 216\n"
    )
    command = ("localize", eight / "run", eight / "query", "-o", tmp_path / "out", "--dense", "--json", "-q")

    done = sfm_command(*command, "--intrinsics", path)

    assert done.returncode == 0, done.stderr
    cameras = [query["camera"] for query in json.loads(done.stdout)["queries"]]
    assert [camera["intrinsics"] for camera in cameras] == ["given", "given", cameras[2]["intrinsics"]]
    assert cameras[2]["intrinsics"] != "given"
    assert cameras[0]["params"] == [230.5, 144, 108, -0.05]
    assert cameras[1]["params"] == [232, 233, 144, 108]
    for line, message in (
        ("photo_02.jpg SIMPLE_RADIAL 216 288 230.5 108 144 -0.05", "has 288 x 216 px, not 216 x 288"),
        ("photo_02.jpg SIMPLE_RADIAL 288 216 230.5", "intrinsics.txt:1: SIMPLE_RADIAL takes 4 parameters"),
        ("photo_02.jpg EQUIRECTANGULAR 288 216 288 216", "intrinsics.txt:1: 'photo_02.jpg' must be flat"),
        ("photo_02.jpg RADIALLY 288 216 230.5 144 108", "intrinsics.txt:1: unknown camera model"),
    ):
        path.write_text(line + "\n")
        refused = sfm_command(*command, "--intrinsics", path)
        assert refused.returncode == 3
        assert message in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coarse_to_fine": True}, "of a dense query"),
        ({"depth": "views"}, "of a dense query"),
        ({"partners": 0}, "partners must be at least 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    options: dict[str, object], message: str, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        sfm.localize(model, model.parent / "query", output=tmp_path, **options)  # type: ignore[arg-type]


def _change(file: str, change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(views: Path) -> None:
        content = json.loads((views / file).read_text())
        change(content)
        (views / file).write_text(json.dumps(content))

    return apply


VIEW = "depth/photo_00.json"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda views: (views / "views.json").unlink(), "holds no views.json"),
        (lambda views: (views / "views.json").write_text("{"), "views.json:1: not valid JSON"),
        (
            _change("views.json", lambda content: content.pop("views")),
            "views.json is not what sfm export wrote",
        ),
        (_change("views.json", lambda c: c["views"]["photo_00.jpg"].update(file="../a")), "views.json"),
        (lambda views: (views / VIEW).unlink(), "photo_00.json"),
        (_change(VIEW, lambda content: content.pop("photo_from_pixel")), "photo_00.json is not what"),
        (_change(VIEW, lambda content: content["photo_from_pixel"].update(scale=[1.0])), "not of two axes"),
        (_change(VIEW, lambda content: content["cam_from_world"].pop()), "has another pose in the model"),
        (_change(VIEW, lambda content: content["cam_from_world"][0].append(1.0)), "has another pose"),
        (
            _change(VIEW, lambda c: c["cam_from_world"][0].__setitem__(3, 9.0)),
            "has another pose in the model",
        ),
        (
            lambda views: (views / "depth" / "photo_00.npy").write_bytes(b"no"),
            "photo_00.npy is not a readable",
        ),
        (
            lambda views: np.save(views / "depth" / "photo_00.npy", np.zeros(3)),
            r"photo_00.npy: expected \(H, W\)",
        ),
        (
            lambda views: np.save(views / "confidence" / "photo_00.npy", np.zeros((2, 2), np.float32)),
            "photo_00.npy: not of the size of its confidence",
        ),
    ],
)
def test_damaged_depth_is_named(
    damage: Callable[[Path], object], message: str, eight: Path, tmp_path: Path
) -> None:
    views = shutil.copytree(eight / "views", tmp_path / "views")
    damage(views)
    model = pycolmap.Reconstruction(eight / "run" / "sparse" / "0")
    image = next(image for image in model.images.values() if image.name == "photo_00.jpg")

    with pytest.raises(InputError, match=message):
        read_exported_depth(views).points(image, model.camera(image.camera_id), 1000)


def test_another_backend_has_no_network_to_ask(model: Path, tmp_path: Path, sfm_command: Command) -> None:
    query = model.parent / "query"

    done = sfm_command("localize", model, query, "-o", tmp_path / "out", "--dense", "backend=sift")

    assert done.returncode == 2
    assert "backend sift" in done.stderr
    assert not (tmp_path / "out" / "poses.json").exists()


@pytest.mark.parametrize(("refused", "is_localised"), [({QUERY}, False), ({"photo_02.jpg"}, True)])
def test_pairs_that_memory_does_not_suffice_for_end_no_job(
    refused: set[str], is_localised: bool, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, tried = OraclePredictor.decode, []

    def limited(
        self: OraclePredictor, first: Sequence[EncodedPhoto], second: Sequence[EncodedPhoto]
    ) -> object:
        if refused & {photo.name for photo in (*first, *second)}:
            tried.append(first)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, first, second)

    monkeypatch.setattr(OraclePredictor, "decode", limited)

    (query,) = sfm.localize(model, model.parent / "query", output=tmp_path / "out", dense=True).queries

    assert tried
    assert query.name == QUERY
    if is_localised:
        assert isinstance(query, Localised)
        assert not refused & set(query.partners)
    else:
        assert isinstance(query, NotLocalised)
        assert "could not be matched: out of memory" in query.reason
