"""What the export of depth does where something is missing, damaged or not wanted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sfm.cli import main
from sfm.errors import ConfigError, InputError, ReconstructionError, WeightsError
from sfm.exports import DepthOptions, export
from tests.exports.rendered import description, maps, workspace


def test_a_photo_that_shares_nothing_is_left_out_with_the_reason(scene: Path, tmp_path: Path) -> None:
    model = workspace(scene, tmp_path / "out")
    away = next(image for image in model.images.values() if image.name == "away.jpg")
    for index in [i for i, p in enumerate(away.points2D) if p.has_point3D()]:
        model.delete_observation(away.image_id, index)
    model.write(tmp_path / "out" / "sparse" / "0")

    folder = export(tmp_path / "out", to="views")

    summary = json.loads((folder / "views.json").read_text())
    assert "no other photo" in summary["without_depth"]["away.jpg"]
    assert not (folder / "depth" / "away.npy").exists()


def test_without_weights_it_says_that_the_network_is_needed(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace(scene, tmp_path / "out")
    (tmp_path / "out" / "run.json").write_text(json.dumps({"backend": "sift", "config": {"backend": "sift"}}))
    monkeypatch.setenv("LOOPSFM_WEIGHTS", str(tmp_path / "nothing"))

    with pytest.raises(WeightsError, match=r"depth comes from the mast3r network: .*not found") as caught:
        export(tmp_path / "out", to="views")

    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert not (tmp_path / "out" / "export" / "views").exists()


def test_a_model_made_with_sift_gets_depth_all_the_same(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    (tmp_path / "out" / "run.json").unlink()
    overrides = (f"internal.mast3r.oracle={scene}", "mast3r.image_size=128")

    folder = export(tmp_path / "out", to="views", depth=DepthOptions(overrides=overrides))

    assert maps(folder, "left")[0].shape == (96, 128)


def test_a_model_that_contradicts_all_depth_is_named(scene: Path, tmp_path: Path) -> None:
    model = workspace(scene, tmp_path / "out")
    rng = np.random.default_rng(0)
    for point in model.points3D.values():
        point.xyz = point.xyz + rng.normal(0, 30, 3)
    model.write(tmp_path / "out" / "sparse" / "0")

    with pytest.raises(ReconstructionError, match="no photo's depth agrees with the model"):
        export(tmp_path / "out", to="views")


def test_a_photo_that_has_gone_is_named(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    (tmp_path / "out" / "images" / "left.jpg").unlink()

    with pytest.raises(InputError, match=r"left\.jpg: the photo is gone"):
        export(tmp_path / "out", to="views")

    assert not (tmp_path / "out" / "export" / "views").exists()


def test_a_photo_that_is_damaged_is_left_out_with_the_reason(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    photo = tmp_path / "out" / "images" / "left.jpg"
    whole = photo.read_bytes()
    photo.unlink()
    photo.write_bytes(whole[: len(whole) // 2])

    folder = export(tmp_path / "out", to="views")

    summary = json.loads((folder / "views.json").read_text())
    assert "truncated" in summary["without_depth"]["left.jpg"]
    assert "left.jpg" not in description(folder, "right")["partners"]


def test_the_command_replaces_its_own_export_alone(scene: Path, tmp_path: Path) -> None:
    workspace(scene, tmp_path / "out")
    command = ["export", str(tmp_path / "out"), "--to", "views", "-q", "--points", "500"]
    for _ in range(2):
        done = CliRunner().invoke(main, command)
        assert (done.exit_code, done.stdout.strip()) == (0, str(tmp_path / "out" / "export" / "views"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")

    refused = CliRunner().invoke(main, [*command, "-d", str(tmp_path / "mine")])

    assert refused.exit_code == 5
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "ply", "--full-size"], "ply has no depth"),
        (["--to", "nerfstudio", "--metres"], "only views can be in metres"),
        (["--to", "txt", "elsewhere"], "unexpected argument 'elsewhere'"),
        (["--to", "views", "mast3r.size=3"], "mast3r.size"),
        (["--to", "views", "--pairs-per-view", "0"], "pairs-per-view"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    scene: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    workspace(scene, tmp_path / "out")

    done = CliRunner().invoke(main, ["export", str(tmp_path / "out"), *arguments])

    assert done.exit_code == 2
    assert words in done.stderr


def test_numbers_out_of_range_are_refused() -> None:
    for options in ({"max_points": 0}, {"pairs_per_view": 0}, {"min_confidence": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            DepthOptions(**options)
