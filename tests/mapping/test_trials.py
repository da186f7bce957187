"""How many models are grown before the best of them is kept."""

from pathlib import Path

import pycolmap

from sfm.mapping.growing.trials import best_model
from sfm.mapping.scene.journal import Journal

from . import synthetic
from .chain import window
from .running import workbench


def test_no_third_model_is_grown_where_two_have_the_same_images(
    ring: tuple[synthetic.Scene, pycolmap.Reconstruction],
) -> None:
    scene, _ = ring
    names = {image.name for image in scene.truth.images.values()}
    journal = Journal()

    found = best_model(workbench(scene.database), names | {"unmatched.jpg"}, journal)

    assert found is not None
    assert found.names == names
    trials = [fields["num_images"] for event, fields in journal.entries if event == "trial"]
    assert trials == [len(names)]


def test_another_model_is_grown_of_images_that_the_first_does_not_reach(
    chain: synthetic.Scene, tmp_path: Path
) -> None:
    apart = window(25, 5) | window(25, 5, first=26)
    database = synthetic.keep_pairs(chain.database, tmp_path / "apart.db", apart)
    names = [chain.truth.image(i).name for i in range(1, 51)]
    journal = Journal()

    found = best_model(workbench(database), set(names), journal)

    assert found is not None
    halves = {frozenset(names[:25]), frozenset(names[25:])}
    assert found.names in halves
    assert max(fields["num_images"] for event, fields in journal.entries if event == "trial") == 25


def test_three_models_are_begun_side_by_side_and_one_is_grown(tmp_path: Path) -> None:
    """The pair that looks best may join look-alikes; a few photos more show it."""
    ring = synthetic.synthesize(tmp_path / "database.db", num_images=20)
    names = {image.name for image in ring.truth.images.values()}
    journal = Journal()

    found = best_model(workbench(ring.database), names, journal)

    assert found is not None
    assert found.seed is not None
    assert found.names == names
    trials = [fields for event, fields in journal.entries if event == "trial"]
    assert [fields["num_images"] for fields in trials] == [8, 8]
    assert len({found.seed.pair, *((fields["a"], fields["b"]) for fields in trials)}) == 3
