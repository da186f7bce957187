"""Steps after growth give back models that are at least as good as those they got, or these."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping import MappingProblem, refine_models
from sfm.mapping.cameras.model_selection import ModelSelection
from sfm.mapping.cameras.richer_cameras import RicherCameras, adjusted_with
from sfm.mapping.edits.judge import Judge, apply_step
from sfm.mapping.edits.split import split_at_articulations
from sfm.mapping.growing.submodels import Submodel, copied
from sfm.mapping.measures.agreement import contradicted_share
from sfm.mapping.scene.camera_models import freedom
from sfm.mapping.scene.journal import Journal

from . import hostile
from .hostile import KINDS, Shoot
from .running import Recorder, names, run, workbench
from .synthetic import Scene

Ring = tuple[Scene, pycolmap.Reconstruction]


def taken_from(
    ring: Ring, change: Callable[[pycolmap.Reconstruction], object]
) -> tuple[bool, list[tuple[str, dict[str, object]]]]:
    """Whether a step that makes this change to a copy is taken, and what was told."""
    model = ring[1]
    context = workbench(ring[0].database)
    before, journal = Submodel.of(model), Journal()

    def step(submodels: Sequence[Submodel]) -> Sequence[Submodel]:
        submodel = copied(submodels[0])
        change(submodel.reconstruction)
        return [submodel]

    (after,) = apply_step(Judge.of(context.scene, context.options), [before], step, "a step", journal)
    return after is not before, journal.entries


def nothing(model: pycolmap.Reconstruction) -> None:
    pass


def scaled(model: pycolmap.Reconstruction) -> None:
    model.transform(pycolmap.Sim3d(3.0, pycolmap.Rotation3d(), np.ones(3)))


def without_points_of_two(model: pycolmap.Reconstruction) -> None:
    for point_id, point in list(model.points3D.items()):
        if point.track.length() == 2:
            model.delete_point3D(point_id)


def without_most_points(model: pycolmap.Reconstruction) -> None:
    """Each image keeps some, and verified matches lie where they did."""
    for number, point_id in enumerate(sorted(model.points3D)):
        if number % 3:
            model.delete_point3D(point_id)


def without_a_photo(model: pycolmap.Reconstruction) -> None:
    model.deregister_frame(model.image(min(model.reg_image_ids())).frame_id)


def without_images(model: pycolmap.Reconstruction) -> None:
    for frame_id in list(model.reg_frame_ids()):
        model.deregister_frame(frame_id)


def with_a_bogus_lens(model: pycolmap.Reconstruction) -> None:
    camera = model.camera(1)
    camera.params = [50 * max(camera.width, camera.height), *camera.params[1:]]


def bent(model: pycolmap.Reconstruction) -> None:
    for image_id in sorted(model.reg_image_ids())[::2]:
        frame = model.frame(model.image(image_id).frame_id)
        shift = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0, 0.02])), np.zeros(3))
        frame.rig_from_world = shift * frame.rig_from_world


def failing(model: pycolmap.Reconstruction) -> None:
    model.camera(4711)


@pytest.mark.parametrize("change", [nothing, scaled, without_points_of_two])
def test_a_step_that_makes_a_model_no_worse_is_taken(
    ring: Ring, change: Callable[[pycolmap.Reconstruction], None]
) -> None:
    assert taken_from(ring, change) == (True, [])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without_a_photo, "photos would be lost: "),
        (without_images, "no photo would be left"),
        (with_a_bogus_lens, "implausible intrinsics of camera 1"),
        (bent, "px from their epipolar lines instead of"),
        (without_most_points, "observations would be lost"),
        (failing, "it failed: IndexError"),
    ],
)
def test_a_step_that_makes_a_model_worse_is_refused_and_told(
    ring: Ring,
    change: Callable[[pycolmap.Reconstruction], None],
    why: str,
) -> None:
    was_taken, told = taken_from(ring, change)

    assert not was_taken
    ((event, fields),) = told
    assert (event, fields["step"]) == ("step_refused", "a step")
    assert why in str(fields["why"])


def test_a_model_with_an_implausible_camera_may_lose_it(ring: Ring) -> None:
    """A negative focal length makes no negative error, by which all others would be worse."""
    scene, model = ring
    wrong, (right, *rest) = copy.deepcopy(model), model.camera(1).params
    wrong.camera(1).params = [-9742.0, *rest]

    def mended(copied: pycolmap.Reconstruction) -> None:
        copied.camera(1).params = [right, *rest]
        without_a_photo(copied)

    assert taken_from((scene, wrong), mended) == (True, [])


def test_a_photo_that_its_matches_contradict_may_go(
    ring: Ring,
) -> None:
    scene, model = ring
    wrong = copy.deepcopy(model)
    frame = wrong.frame(wrong.image(min(wrong.reg_image_ids())).frame_id)
    turn = pycolmap.Rotation3d(np.array([0, 0.2, 0, np.sqrt(0.96)]))
    frame.rig_from_world = pycolmap.Rigid3d(turn, np.zeros(3)) * frame.rig_from_world

    assert taken_from((scene, wrong), without_a_photo) == (True, [])


def test_parting_leaves_the_models_it_is_given_as_they_are(
    ring: Ring,
) -> None:
    scene, model = ring
    submodel = Submodel.of(model)

    assert split_at_articulations(workbench(scene.database), [submodel]) == [submodel]
    assert names(model) == submodel.names


def test_cameras_that_lost_their_last_photo_since_they_were_asked_are_left_out(
    ring: Ring,
) -> None:
    scene, model = ring
    options = workbench(scene.database).options
    could = freedom(model.camera(1), options.final_ba, richest="OPENCV", principal_point=True)
    gone = ModelSelection.unchanged(could)
    richer = RicherCameras({1: gone, 4: gone}, {1: 8, 4: 1}, frozenset(), frozenset({4}), 0.5)

    done = adjusted_with(model, richer, options.final_ba)

    assert done is not None
    assert names(done) == names(model)
    assert {block.camera_id for block in richer.tried(done)} <= {1, 4}


def small(kind: str, seed: int) -> Shoot:
    if kind == "flat":
        return hostile.flight(seed, photos=12, lines=2, length_m=300.0)
    shoot = KINDS[kind](seed)
    return replace(shoot, points=shoot.points[::2]) if len(shoot.points) > 1000 else shoot


def check_finished(shoot: Shoot, path: Path, seed: int) -> tuple[pycolmap.Reconstruction, ...]:
    """Models after the last adjustment, which have to be as good as before by other measures than its own."""
    database, events = hostile.write(shoot, path / "database.db"), Recorder()
    grown = run(database, seed=seed, finished=False).models
    copies = [copy.deepcopy(model) for model in grown]

    problem = MappingProblem(
        database=database, config=RegisterConfig(), refine=RefineConfig(), threads=1, seed=seed
    )
    finished = refine_models(problem, grown, events=events)

    scene = workbench(database).scene
    assert len(finished) == len(grown) >= 1
    for before, given, after in zip(copies, grown, finished, strict=True):
        assert names(after) >= names(before)
        assert contradicted_share(scene, after) <= contradicted_share(scene, before) + 0.01
        for camera in after.cameras.values():
            assert camera.mean_focal_length() == pytest.approx(shoot.focal_px, rel=0.02)
            assert camera.principal_point_x == pytest.approx(camera.width / 2, abs=0.02 * camera.width)
            assert camera.principal_point_y == pytest.approx(camera.height / 2, abs=0.02 * camera.height)
        for image_id in before.reg_image_ids():
            was, now = (model.image(image_id).cam_from_world().matrix() for model in (before, given))
            np.testing.assert_array_equal(was, now)
    assert not [told for told in events.of("step_refused") if "failed" in str(told["why"])]
    return finished


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_adjustment_makes_models_of_hostile_photos_no_worse(kind: str, tmp_path: Path) -> None:
    check_finished(small(kind, 0), tmp_path, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_the_last_adjustment_makes_them_no_worse_with_other_seeds(
    kind: str, seed: int, tmp_path: Path
) -> None:
    check_finished(KINDS[kind](seed), tmp_path, seed)


@pytest.mark.parametrize(
    ("now_px", "is_worse"),
    [({"true": 0.15, "false": 7.0}, False), ({"true": 0.3}, True), ({"lost": 6.0}, True)],
    ids=["false pairs fit worse", "true pairs fit worse", "a part of the model is lost"],
)
def test_false_pairs_do_not_decide_whether_a_model_is_worse(
    ring: Ring, monkeypatch: pytest.MonkeyPatch, now_px: dict[str, float], is_worse: bool
) -> None:
    """A model that false pairs have bent fits these better than the right one does."""
    scene, before = workbench(ring[0].database).scene, ring[1]
    after = copy.deepcopy(before)
    pairs = sorted(scene.view_graph.edges)
    kind = {pair: "false" if i % 4 == 0 else "lost" if i % 4 == 1 else "true" for i, pair in enumerate(pairs)}
    was_px = {"true": 0.2, "lost": 0.2, "false": 2.0}

    def errors(_: object, model: pycolmap.Reconstruction, __: object) -> dict[Pair, float]:
        px = was_px if model is before else was_px | {"lost": now_px.get("true", 0.2)} | now_px
        return {pair: px[kind[pair]] for pair in pairs}

    monkeypatch.setattr("sfm.mapping.edits.judge.median_errors_px", errors)

    assert bool(Judge(scene, 6).why_worse([before], [after])) == is_worse
