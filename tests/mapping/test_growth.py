"""Growth ends, whatever refused images leave behind."""

from collections.abc import Callable, Sequence, Set
from itertools import count
from pathlib import Path

import pytest

from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.growing import growth
from sfm.mapping.growing.bundle_adjustment import refine_growing
from sfm.mapping.growing.steps import Attempts, Method, Stuck
from sfm.mapping.scene.journal import Journal
from sfm.mapping.scene.options import mapper_options
from sfm.mapping.scene.scene import Scene
from sfm.mapping.scene.session import MapperSession, open_session

from . import hostile, synthetic
from .running import names, run, workbench

_MANY = 20


Attempted = Callable[[Journal, Sequence[Method]], None]


def grown_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempted: Attempted) -> Journal:
    """What growth notes where each attempt ends without the image, but with a point less.

    Args:
        tmp_path: for the database.
        monkeypatch: by which all attempts are refused.
        attempted: called at each, with the journal so far and the methods that were to be tried.
    """
    database = synthetic.synthesize(tmp_path / "database.db").database
    (model,) = run(database).models
    scene, journal = Scene.open(database), Journal()
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=set(), threads=1, seed=0)

    def refuse(
        session: MapperSession,
        candidates: Set[str],
        attempts: Attempts,
        journal: Journal,
        methods: Sequence[Method],
    ) -> Stuck:
        attempted(journal, methods)
        session.observations.delete_point3D(min(session.reconstruction.points3D))
        return Stuck()

    monkeypatch.setattr(growth, "register_next", refuse)
    with open_session(scene, options, model) as session:
        growth.grow(session, {"one more"}, journal, on_registered=lambda name: None)
    return journal


def test_a_refused_image_that_takes_a_point_with_it_does_not_keep_growth_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLMAP's registration changes points even where it ends without the image."""
    attempt = count()

    def attempted(journal: Journal, methods: Sequence[Method]) -> None:
        assert next(attempt) < _MANY, "growth goes on forever"

    journal = grown_in_vain(tmp_path, monkeypatch, attempted)

    assert [fields["why"] for event, fields in journal.entries if event == "global_ba"] == ["stuck"]


def test_thin_evidence_comes_after_better_poses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adjustment may make it needless."""
    tried = list[tuple[int, Sequence[Method]]]()

    grown_in_vain(
        tmp_path, monkeypatch, lambda journal, methods: tried.append((len(journal.entries), methods))
    )

    assert [methods for _, methods in tried] == [
        [Method.PNP],
        [Method.PNP],
        [Method.LIFTED, Method.LENIENT_PNP],
    ]
    assert [adjusted for adjusted, _ in tried] == [0, 1, 1]


def test_an_image_with_implausible_intrinsics_starts_anew(tmp_path: Path) -> None:
    """A few wrong matches can turn a focal length negative; no later adjustment would bring it back."""
    database = hostile.write(hostile.camera_a_photo(0), tmp_path / "database.db")
    (model,) = run(database).models
    before = names(model)
    last = model.image(max(model.reg_image_ids()))
    name, camera_id = last.name, last.camera_id
    context = workbench(database, fixed_cameras=frozenset({camera_id}))
    model.camera(camera_id).params = [-9742.0, *model.camera(camera_id).params[1:]]

    with open_session(context.scene, context.options, model) as session:
        refine_growing(session, "grown", journal := Journal())

    assert names(model) == before - {name}
    assert ("filtered", name) in [(event, fields.get("name")) for event, fields in journal.entries]
    assert not model.exists_camera(camera_id) or model.camera(camera_id).mean_focal_length() > 0
