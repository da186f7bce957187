"""What a run gives back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import pycolmap

from sfm.georeferencing.georeference import Georeference
from sfm.report.position import differences_in_words, frame_in_words
from sfm.report.record import ModelRecord, PairsRecord, RunRecord
from sfm.types import PhotoOutcome


@dataclass(frozen=True, slots=True)
class Result:
    """Models, largest first, and every figure of `run.json`."""

    output: Path
    models: tuple[pycolmap.Reconstruction, ...]
    run: RunRecord

    @property
    def reconstruction(self) -> pycolmap.Reconstruction | None:
        """The largest model, or None when there is none."""
        return self.models[0] if self.models else None

    @property
    def outcomes(self) -> tuple[PhotoOutcome, ...]:
        """What became of each photo."""
        return self.run.outcomes

    def summary(self) -> str:
        """The figures that matter, a line each, for people."""
        run = self.run
        lines = [f"registered  {run.photos.registered} of {run.photos.total} photos"]
        for index, model in enumerate(run.models):
            lines.append(
                f"model {index}     {model.num_images} photo{'s' * (model.num_images > 1)}, "
                f"{model.num_points3D} points, "
                f"reprojection error {model.mean_reprojection_error_px:.2f} px, "
                f"track length {model.mean_track_length:.1f}{_probability(model)}"
            )
        for index, model in enumerate(run.models):
            lines += _place_lines(index, model.georeference)
        if run.backend:
            lines.append(f"matcher     {run.backend}{_again(run.pairs)}")
        if run.pairs.exhaustive:
            lines.append(
                f"pairs       {run.pairs.matched} matched, {run.pairs.verified} verified "
                f"({100 * run.pairs.fraction:.0f} % of all pairs)"
            )
        if run.pairs.failed:
            lines.append(f"failed      {run.pairs.failures}")
        stages = ", ".join(f"{stage.stage} {stage.seconds:.1f} s" for stage in run.stages)
        lines.append(f"time        {run.seconds:.1f} s ({stages})")
        return "\n".join(lines)


def _probability(model: ModelRecord) -> str:
    """Of no fold and no bend in it, where it is known."""
    if model.probability is None:
        return ""
    return f", right (not folded or bent) with probability {100 * model.probability:.0f} %"


def _again(pairs: PairsRecord) -> str:
    """What the stronger matcher was bought for."""
    if not pairs.again:
        return ""
    count = "1 pair" if pairs.again == 1 else f"{pairs.again} pairs"
    return f", and aliked for {count} that it left open, {pairs.again_verified} of them verified"


def _place_lines(index: int, place: Georeference) -> list[str]:
    if not place.num_positions:
        return []
    if place.differences is None:
        return [f"position {index}  none: {place.why}"]
    words = asdict(place)
    return [
        f"position {index}  {frame_in_words(words)}",
        f"            differences: horizontally {differences_in_words(words['differences'], 'horizontal')}; "
        f"vertically {differences_in_words(words['differences'], 'vertical')}; {place.why}",
    ]
