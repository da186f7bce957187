"""The photos of a model together with new ones, as one collection."""

from dataclasses import replace
from pathlib import Path

from sfm.errors import InputError
from sfm.stages.session import PhotoSession
from sfm.stages.stages import ingested
from sfm.types import Collection

from .cameras import with_model_cameras
from .model import GivenModel

_LISTED = 3


def model_and_new_photos(
    session: PhotoSession, photos: Path, given: GivenModel
) -> tuple[Collection, frozenset[str]]:
    """Stage: all photos, those of the model with its cameras, and the names of the new ones.

    Raises:
        InputError: a photo of the model cannot be used, or there is no new one.
    """
    collection = ingested(session, photos, earlier=given.photos, min_photos=0)
    lost = sorted(given.cameras.keys() - set(collection.names))
    if lost:
        reasons = {skipped.name: skipped.reason for skipped in collection.skipped}
        why = reasons.get(lost[0], "it bears another name now")
        raise InputError(f"{lost[0]}, a photo of the model, cannot be used: {why}")
    new = frozenset(collection.names) - given.cameras.keys()
    if not new:
        listed = "; ".join(f"{s.name}: {s.reason}" for s in collection.skipped[:_LISTED])
        raise InputError(
            f"no new photo under {photos}" + (f" ({listed})" if listed else ""),
            hint="photos that are in the model already are left out",
        )
    # Models pass through the database without their rigs; the photos of one keep their poses and cameras.
    return replace(with_model_cameras(collection, given.cameras), rigs=()), new
