import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from sfm.config.schema import RefineConfig
from sfm.mapping.cameras.model_selection import ModelSelection
from sfm.mapping.cameras.richer_cameras import richer_cameras

from . import synthetic
from .lenses import SHIFT, adjustment, finished, opencv
from .running import Recorder, run

CENTRE = (512.0, 384.0)


def principal_point(
    path: Path,
    true: tuple[float, float],
    *,
    num_images: int = 10,
    events: Recorder | None = None,
    **refine: str,
) -> tuple[float, float]:
    """Where the principal point ends that is `true` while the database says that it is in the centre."""
    scene = synthetic.synthesize(path, num_images=num_images, num_points=500, camera=(1280, *true, 0.05))
    with pycolmap.Database.open(scene.database) as db:
        camera = db.read_camera(1)
        camera.principal_point_x, camera.principal_point_y = CENTRE
        db.update_camera(camera)

    config = RefineConfig(**refine)  # type: ignore[arg-type]
    (model,) = run(scene.database, refine=config, events=events).models
    return model.camera(1).principal_point_x, model.camera(1).principal_point_y


def test_a_principal_point_off_the_centre_is_found(tmp_path: Path) -> None:
    found = principal_point(tmp_path / "database.db", (527.0, 374.0))

    assert np.allclose(found, (527, 374), atol=2)  # px; half a pixel of noise


def test_a_principal_point_in_the_centre_stays_there(tmp_path: Path) -> None:
    assert principal_point(tmp_path / "database.db", CENTRE) == CENTRE


def test_five_photos_are_evidence_where_they_tell(tmp_path: Path) -> None:
    found = principal_point(tmp_path / "database.db", (527.0, 374.0), num_images=5)

    assert np.allclose(found, (527, 374), atol=4)


@pytest.mark.parametrize(("choice", "moves"), [("never", False), ("always", True)])
def test_the_user_can_decide(tmp_path: Path, choice: str, moves: bool) -> None:
    found = principal_point(tmp_path / "database.db", (514.0, 384.0), principal_point=choice)

    assert (found != CENTRE) == moves


def test_a_principal_point_without_clear_evidence_goes_where_it_was_predicted() -> None:
    model = finished(opencv(shift=SHIFT))
    richer = richer_cameras(model, adjustment(), RefineConfig(), fixed_cameras=frozenset())
    selection = richer.selections[1]
    (block,) = (one for one in selection.tried if one.block == "principal_point")
    tried = (replace(block, log_evidence=2.9, sigma={"cx": 0.5, "cy": 0.5}),)
    doubtful = replace(richer, selections={1: replace(selection, tried=tried)})
    near, far = richer.started(model), copy.deepcopy(richer.started(model))
    near.camera(1).principal_point_y += 0.9
    far.camera(1).principal_point_y += 1.1

    assert not doubtful.beside(near)
    assert [one.shift["cy"] for one in doubtful.beside(far)] == pytest.approx([block.shift["cy"] + 1.1])
    assert not richer.beside(far)


def test_one_that_went_elsewhere_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was linearised does not hold. The values that were tried are reported."""
    monkeypatch.setattr(ModelSelection, "is_beside", lambda self, adjusted: True)
    events = Recorder()

    assert principal_point(tmp_path / "database.db", (527.0, 374.0), events=events) == CENTRE
    tried = [one for one in events.of("intrinsics") if one["block"] == "principal_point"]
    assert [one["accepted"] for one in tried] == [False]
    assert tried[0]["shift"] == {"cx": pytest.approx(15, abs=2), "cy": pytest.approx(-10, abs=2)}
