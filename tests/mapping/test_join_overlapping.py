"""Models of clusters are joined where they share photos."""

from pathlib import Path

import numpy as np
import pytest

from sfm.mapping.edits.join_overlapping import join_models
from sfm.mapping.edits.shared_points import shared_points
from sfm.mapping.growing.submodels import MappingContext, Submodel, copied
from sfm.mapping.growing.trials import best_model
from sfm.mapping.scene.journal import Journal

from . import synthetic
from .chain import NUM_PHOTOS, REACH, window
from .running import workbench


def parts(context: MappingContext, *ranges: range) -> list[Submodel]:
    """A model of the photos with these ids each."""
    found = []
    for ids in ranges:
        submodel = best_model(context, {context.scene.name_of[i] for i in ids}, Journal(), max_trials=1)
        assert submodel is not None
        assert len(submodel.names) == len(ids)
        found.append(submodel)
    return found


@pytest.fixture(scope="module")
def halves(chain: synthetic.Scene) -> list[Submodel]:
    """Models of the first and the last photos of the chain, six of them in both; not to be changed."""
    return parts(workbench(chain.database), range(1, 29), range(23, 51))


def test_joined_models_share_their_photos_and_points(chain: synthetic.Scene, halves: list[Submodel]) -> None:
    context = workbench(chain.database)
    first, second = map(copied, halves)
    same = shared_points(first.reconstruction, second.reconstruction)
    total = first.reconstruction.num_points3D() + second.reconstruction.num_points3D()
    journal = Journal()

    (whole,) = join_models(context, [first, second], journal)

    assert len(whole.names) == NUM_PHOTOS
    assert len(same) > 50
    assert whole.reconstruction.num_points3D() <= total - 0.9 * len(same)
    assert synthetic.max_rotation_error_deg(whole.reconstruction, chain.truth) < 0.3


def test_no_point_is_shared_twice(halves: list[Submodel]) -> None:
    first, second = halves

    same = shared_points(first.reconstruction, second.reconstruction)

    assert len(same) > 50
    assert len(set(same[:, 0].tolist())) == len(set(same[:, 1].tolist())) == len(same)


def test_models_that_share_too_little_stay_apart_without_repeated_photos(
    chain: synthetic.Scene, halves: list[Submodel]
) -> None:
    context = workbench(chain.database)
    bent = [copied(half) for half in halves]
    rng = np.random.default_rng(0)
    for point in bent[1].reconstruction.points3D.values():
        point.xyz = point.xyz + rng.normal(scale=3.0, size=3)

    models = join_models(context, bent, journal := Journal())

    assert [fields["accepted"] for event, fields in journal.entries if event == "join"] == [False]
    assert sorted(len(model.names) for model in models) == [22, 28]
    assert not models[0].names & models[1].names


def test_a_join_that_the_verified_pairs_contradict_is_taken_back(
    tmp_path: Path, chain: synthetic.Scene, halves: list[Submodel]
) -> None:
    """Both halves fit where they share photos, but pairs of their other photos say something else."""
    database = synthetic.keep_pairs(chain.database, tmp_path / "against.db", window(NUM_PHOTOS, REACH))
    false = {(i, j) for i in range(1, 10) for j in range(40, 46)}
    synthetic.add_pairs(chain.database.parent / "all.db", database, false, wrong=1000)
    context = workbench(database)

    models = join_models(context, [copied(half) for half in halves], journal := Journal())

    assert [fields["accepted"] for event, fields in journal.entries if event == "join"] == [True, False]
    assert sorted(len(model.names) for model in models) == [22, 28]
