"""How a run went, from all that is known of it: one verdict for the report, `run.json` and the last lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sfm.pairs.failed_pairs import Failures

if TYPE_CHECKING:
    from sfm.loop import LoopResult

_NO_PARALLAX = ("planar", "panoramic", "planar_or_panoramic")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict rests on."""

    readable: int
    """Photos that could be read."""
    registered: int
    num_models: int
    in_doubt: int = 0
    """Registered photos that are probably at a wrong place."""
    ambiguous: bool = False
    """Whether so many pairs are inconsistent (visual aliasing) that the model may be folded."""
    bent: int = 0
    """Models that fit their pairs much worse than each pair could be fitted."""
    unsure: int = 0
    """Other models that are likelier wrong than right, or imprecise."""
    failed_steps: tuple[str, ...] = ()
    """Steps that failed after there were models."""
    skipped: int = 0
    """Files that could not be used: damaged, or the same as another one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run went: `good`, `partial` or `failed`, and a headline."""

    grade: str
    title: str

    @classmethod
    def of(cls, facts: Facts) -> Verdict:
        """`good` is a run without any caveat about its result."""
        if not facts.num_models:
            return NO_MODEL
        missing = facts.readable - facts.registered
        caveats = list(_caveats(facts, is_whole=not missing and facts.num_models == 1))
        if missing:
            title = f"{missing} {'photo is' if missing == 1 else 'photos are'} not in any model"
        elif facts.num_models > 1:
            title = f"Every photo is in, in {facts.num_models} separate models"
        elif caveats:
            title = "Every photo is in one model" if facts.readable > 1 else "A scene of one photo"
        else:
            whole = (
                "every photo is in one model"
                if facts.readable > 1
                else "a scene of one photo, from its depth"
            )
            without = f", {facts.skipped} {_files(facts.skipped)} left out" if facts.skipped else ""
            return cls("good", f"Complete: {whole}{without}")
        return cls("partial", ", ".join([title, *caveats]))


def _files(count: int) -> str:
    return "file was" if count == 1 else "files were"


NO_MODEL = Verdict("failed", "No model could be built")


def _caveats(facts: Facts, *, is_whole: bool) -> Iterator[str]:
    if facts.in_doubt:
        photos = "of them" if is_whole else "photo" if facts.in_doubt == 1 else "photos"
        yield f"{facts.in_doubt} {photos} in doubt"
    if facts.ambiguous:
        yield "it may be folded: places look alike" if is_whole else "places look alike"
    elif facts.unsure:
        wrong = _models(facts, facts.unsure)
        yield "it is probably not right everywhere" if is_whole else f"{wrong} probably not right"
    if facts.bent:
        yield "it is probably bent" if is_whole else f"{_models(facts, facts.bent)} probably bent"
    if facts.failed_steps:
        yield f"but not all was done: {', '.join(facts.failed_steps)} failed"


def _models(facts: Facts, count: int) -> str:
    """So many models, by the number alone where the sentence has just spoken of models."""
    if facts.registered == facts.readable:
        return str(count)
    return f"{count} {'model' if count == 1 else 'models'}"


def bent_in_words(index: int, residual_ratio: float) -> str:
    """Why a model is probably bent, and what to do."""
    return (
        f"Model {index} is probably bent: its cameras and poses fit the matches {residual_ratio:.1f} times "
        "worse than pairs of photos fit each other. Most often the focal length is wrong: use the original "
        "photos with their EXIF, or give images.camera_model and images.camera_params. A rolling shutter in "
        "fast motion and places that look alike bend models, too."
    )


def unsure_in_words(index: int, right: float) -> str:
    """How probably a model is right, and what to do."""
    return (
        f"Model {index} is right with a probability of {100 * right:.0f} %: pairs of photos that are "
        "probably true do not agree with it, or photos do not show what they should. Look in the 3D view at "
        "the photos that are in doubt or have few pairs. More photos there, with more overlap, will help."
    )


def imprecise_in_words(index: int) -> str:
    """That a model is probably imprecise, and what to do."""
    return (
        f"Model {index} is probably imprecise: its points hardly determine its poses and cameras, so that "
        "noise alone can move photos by more than 2° or 2 % of its extent. More photos in between, with more "
        "overlap, and the original photos with their EXIF help."
    )


def message(
    loop: LoopResult, num_photos: int, registered: int, failures: Failures, stopped: Sequence[str] = ()
) -> str:
    """A few plain sentences on how the run went and, where it failed, at what.

    Args:
        loop: what registration found.
        num_photos: that could be read.
        registered: number of them.
        failures: pairs that could not be matched.
        stopped: why alignments ended early.
    """
    if not loop.models and 2 * failures.count > len(loop.scene_graph):
        # What photographers can do is no help against a run that came to nothing by itself.
        return f"No model: {failures.words}"
    early = [f"{why[0].upper()}{why[1:]}." for why in stopped]
    return " ".join(filter(None, [_verdict_on_photos(loop, num_photos, registered), failures.words, *early]))


def _verdict_on_photos(loop: LoopResult, num_photos: int, registered: int) -> str:
    if loop.models and num_photos == 1:
        return (
            "1 of 1 photo registered. One photo has no parallax: its depth, its focal length and the scale "
            "are what the network sees in it, and no other photo confirms them."
        )
    if loop.models:
        parts = f" in {len(loop.models)} separate models" if len(loop.models) > 1 else ""
        return f"{registered} of {num_photos} photos registered{parts}."
    best = max((edge.num_inliers for edge in loop.view_graph.edges.values()), default=0)
    if not best:
        return (
            "No model: no two photos share enough matching keypoints. "
            "Take photos with more overlap (60 % or more between neighbours) and more texture in view."
        )
    count = len(loop.view_graph.edges)
    flat = sum(edge.config in _NO_PARALLAX for edge in loop.view_graph.edges.values())
    if 2 * flat > count:
        return (
            f"No model: {flat} of {count} matching pairs fit a camera that only turned, or a plane: these "
            "photos show too little depth. "
            "Take photos from different places, moving sideways a step at a time."
        )
    return (
        f"No model: {count} {'pair matches' if count == 1 else 'pairs match'} (the best with {best} "
        "inliers), but from none of them could a model of three photos be grown. Take photos between the "
        "existing ones, moving sideways a step at a time, so that every part of the scene is in at least "
        "three photos."
    )
