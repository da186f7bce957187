"""What a run says of a model that is probably wrong, or hardly determined."""

import pycolmap
import pytest

from sfm.georeferencing.georeference import Georeference
from sfm.mapping.pose_consistency.pose_probability import PoseProbabilities
from sfm.report.record import ModelRecord
from sfm.report.verdict import Facts, Verdict


@pytest.fixture(scope="module")
def model() -> pycolmap.Reconstruction:
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 4, 30
    return pycolmap.synthesize_dataset(options)


@pytest.mark.parametrize(
    ("right", "precision", "words"),
    [
        (0.97, 0.99, ""),
        (0.97, None, ""),
        (0.97, 0.3, "Model 1 is probably imprecise"),
        (0.2, 0.99, "Model 1 is right with a probability of 20 %"),
        (0.2, 0.3, "Model 1 is right with a probability of 20 %"),
    ],
)
def test_wrong_and_imprecise_models_say_so(
    right: float, precision: float | None, words: str, model: pycolmap.Reconstruction
) -> None:
    chances = PoseProbabilities({}, {}, right, (), precision=precision)

    record = ModelRecord.of(1, model, Georeference("model", ""), chances)

    assert record.unsure.startswith(words)
    assert bool(record.unsure) is bool(words)
    assert (record.probability, record.precision) == (right, precision)
    grade = Verdict.of(Facts(4, 4, 1, unsure=int(bool(record.unsure)))).grade
    assert grade == ("partial" if words else "good")
