"""Which of the photos that were to be added are in the model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from sfm.pipelines.extend import Extension, _apart
from sfm.report.result import Result
from sfm.types import PhotoOutcome, PhotoStatus


def outcome(name: str, model: int | None) -> PhotoOutcome:
    status = PhotoStatus.NOT_REGISTERED if model is None else PhotoStatus.REGISTERED
    return PhotoOutcome(name, status, model)


def test_photos_that_make_models_of_their_own_do_not_count_as_added() -> None:
    photos = (outcome("old", 1), outcome("near", 1), outcome("far", 0), outcome("lost", None))
    result = cast(Result, SimpleNamespace(outcomes=photos))

    apart = _apart(result, frozenset({"near", "far", "lost"}), frozenset({"old"}))
    extension = Extension(result, False, photos[1:], apart)

    assert apart == {"far"}
    assert extension.num_registered == 1
    assert extension.to_dict()["apart"] == ["far"]
