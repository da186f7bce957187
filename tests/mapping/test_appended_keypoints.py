"""Models are refined although a matcher has appended keypoints to the database since they were built."""

from pathlib import Path

import numpy as np

from sfm.colmap.database import FeatureDatabase
from sfm.colmap.second_matcher import SecondMatcher
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping import MappingProblem, refine_models

from . import synthetic
from .running import Recorder, run


def test_keypoints_of_pairs_that_did_not_verify_do_not_keep_a_model_from_its_refinement(
    tmp_path: Path,
) -> None:
    scene = synthetic.synthesize(tmp_path / "database.db", num_images=8)
    (grown,) = run(scene.database, finished=False).models
    database = FeatureDatabase(scene.database)
    pair = sorted(database.pairs())[0]
    xy = {name: np.full((4, 2), 20.5, np.float32) for name in pair}
    SecondMatcher(database, "key").write(xy, {pair: np.zeros((0, 2), np.uint32)})
    events = Recorder()
    problem = MappingProblem(
        database=scene.database, config=RegisterConfig(), refine=RefineConfig(), threads=1, seed=0
    )

    (refined,) = refine_models(problem, [grown], events=events)

    assert events.of("step_refused") == []
    assert events.of("intrinsics")
    assert synthetic.max_rotation_error_deg(refined, scene.truth) < 0.2
