"""The figures of a run, as `run.json` holds them."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

import pycolmap

from retrieval import Pair
from sfm.colmap.database import PairRecord
from sfm.config.schema import Config
from sfm.diagnosis.visual_aliasing import InconsistentPairRecord
from sfm.georeferencing.georeference import Georeference
from sfm.mapping.measures.residual_ratio import is_bent
from sfm.mapping.pose_consistency.pose_probability import Alternative, PoseProbabilities
from sfm.pairs.failed_pairs import Failures
from sfm.report.verdict import NO_MODEL, Facts, Verdict, bent_in_words, imprecise_in_words, unsure_in_words
from sfm.types import PhotoOutcome, RoundReport, Skipped, StageReport
from sfm.workspace.failures import StepFailure

_PACKAGES = (
    "loopsfm",
    "pycolmap",
    "pyceres",
    "numpy",
    "torch",
    "faiss-cpu",
    "asmk",
    "scipy",
    "networkx",
    "opencv-python-headless",
    "pillow",
)


@dataclass(frozen=True, slots=True)
class PhotosRecord:
    """Photos found, readable, registered in any model, and the files left out."""

    total: int
    readable: int
    registered: int
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One model: where it is and how large and exact."""

    path: str
    num_images: int
    num_points3D: int
    num_observations: int
    mean_reprojection_error_px: float
    mean_track_length: float
    georeference: Georeference
    probability: float | None = None
    """That no part of it is folded onto another or bent, in [0, 1]; None where nobody looked."""
    residual_ratio: float | None = None
    """Residuals of its pairs by it, over those by each pair alone: about 1; None where nobody looked."""
    bent: str = ""
    """Why its poses or cameras are probably wrong, where that is much, and what to do."""
    precision: float | None = None
    """That noise leaves nearly all of its poses within 2° and 2 % of its extent, where none is misplaced."""
    unsure: str = ""
    """That it is likelier wrong than right or imprecise, where it is and is not bent, and what to do."""
    alternatives: tuple[Alternative, ...] = ()
    """Groups of photos that probably belong elsewhere."""

    @classmethod
    def of(
        cls,
        index: int,
        model: pycolmap.Reconstruction,
        place: Georeference,
        chances: PoseProbabilities | None = None,
    ) -> ModelRecord:
        """Figures of the model written to `sparse/<index>`."""
        ratio = chances.residual_ratio if chances else None
        return cls(
            path=f"sparse/{index}",
            num_images=model.num_reg_images(),
            num_points3D=model.num_points3D(),
            num_observations=model.compute_num_observations(),
            mean_reprojection_error_px=round(model.compute_mean_reprojection_error(), 4),
            mean_track_length=round(model.compute_mean_track_length(), 3),
            georeference=place,
            probability=chances.right if chances and model.num_reg_images() > 1 else None,
            residual_ratio=ratio and round(ratio, 3),
            bent=bent_in_words(index, ratio) if ratio and is_bent(ratio) else "",
            precision=chances.precision if chances else None,
            unsure=_unsure(index, chances) if chances and not chances.is_bent else "",
            alternatives=chances.alternatives if chances else (),
        )


def _unsure(index: int, chances: PoseProbabilities) -> str:
    if chances.is_wrong:
        return unsure_in_words(index, chances.right)
    return imprecise_in_words(index) if chances.is_imprecise else ""


@dataclass(frozen=True, slots=True)
class PairsRecord:
    """Pairs matched and verified; `exhaustive` is N (N - 1) / 2, `fraction` is matched over that."""

    matched: int
    verified: int
    exhaustive: int
    fraction: float
    failed: int = 0
    """Pairs that could not be matched, for want of memory or the like; the next run tries them again."""
    failures: str = ""
    """The same in words: how many, the commonest reason, and what to do; empty where none failed."""
    again: int = 0
    """Of the matched pairs, those that the stronger matcher matched again."""
    again_verified: int = 0

    @classmethod
    def of(
        cls, matched: Mapping[Pair, PairRecord], again: Set[Pair], num_photos: int, failures: Failures
    ) -> PairsRecord:
        """Counts with their share of all pairs.

        Args:
            matched: pairs of the database.
            again: those that the stronger matcher matched.
            num_photos: of the collection.
            failures: pairs that could not be matched.
        """
        verified = {pair for pair, record in matched.items() if record.verified}
        exhaustive = num_photos * (num_photos - 1) // 2
        fraction = round(len(matched) / max(exhaustive, 1), 4)
        return cls(
            len(matched),
            len(verified),
            exhaustive,
            fraction,
            failures.count,
            failures.words,
            len(again),
            len(again & verified),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything that `run.json` holds; its `config` is accepted back by `sfm run --config run.json`."""

    status: str = "no_model"
    """`ok`; `no_model` when the photos were read but no model came out; `unfinished` where models were
    written, but later steps failed."""
    verdict: Verdict = NO_MODEL
    message: str
    backend: str
    """The matcher that was used; empty for `sfm map`."""
    notice: str
    """What must be known before the result is used, such as the licence of weights; mostly empty."""
    config: Config
    photos: PhotosRecord
    models: tuple[ModelRecord, ...]
    pairs: PairsRecord
    stages: tuple[StageReport, ...]
    rounds: tuple[RoundReport, ...]
    outcomes: tuple[PhotoOutcome, ...]
    changed: tuple[Skipped, ...] = ()
    """Photos that were used and whose files were removed or changed since they were read; mostly empty."""
    inconsistent_pairs: tuple[InconsistentPairRecord, ...]
    """Verified pairs that are probably visual aliasing, surest first."""
    ambiguous: bool
    """Whether there are any, and a model is likelier folded than not."""
    aliasing_note: str
    """Advice on visual aliasing; mostly empty."""
    stopped: tuple[str, ...] = ()
    """Why alignments ended early; mostly empty."""
    failures: tuple[StepFailure, ...] = ()
    """Steps that failed after there were models; mostly empty."""
    seconds: float
    peak_memory_mb: float
    versions: Mapping[str, str]

    def told(self, num_models: int, failures: Sequence[StepFailure]) -> RunRecord:
        """The record with these steps that failed, and the status and the verdict that all its facts give."""
        facts = Facts(
            self.photos.readable,
            self.photos.registered,
            num_models,
            sum(bool(outcome.doubt) for outcome in self.outcomes),
            self.ambiguous,
            sum(bool(model.bent) for model in self.models),
            sum(bool(model.unsure) for model in self.models),
            tuple(failure.step for failure in failures),
            len(self.photos.skipped),
        )
        status = "no_model" if not num_models else "unfinished" if failures else "ok"
        return replace(self, status=status, verdict=Verdict.of(facts), failures=tuple(failures))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024**2), 1)


def model_records(
    models: Sequence[pycolmap.Reconstruction],
    places: Sequence[Georeference],
    chances: Sequence[PoseProbabilities] = (),
) -> tuple[ModelRecord, ...]:
    """Figures of all models, in the order of `sparse/`; `chances` may be missing."""
    known: Sequence[PoseProbabilities | None] = chances or [None] * len(models)
    figures = zip(models, places, known, strict=True)
    return tuple(ModelRecord.of(index, *each) for index, each in enumerate(figures))
