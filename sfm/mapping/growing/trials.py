"""Models that are started from different seeds, and the choice between them."""

from __future__ import annotations

import copy
from collections.abc import Set
from dataclasses import dataclass, field, replace
from functools import partial

import pycolmap

from ..depth.depth_model import build_depth_model
from ..depth.photo_depth import is_contradicted
from ..measures.model_agreement import evidence_score
from ..measures.pure_rotation import why_pure_rotation
from ..measures.soundness import why_undetermined
from ..scene.journal import Journal
from ..scene.options import with_two_view_tracks
from ..scene.scene import Scene
from ..scene.session import open_session
from .posed_models import posed_model
from .seeds import Seed, find_seeds, initialise, next_seed
from .submodels import MAX_CONTRADICTED, MappingContext, Submodel, extend, is_complete, judged, settled

_NUM_PROBES = 3  # models started side by side, of which the best is continued
_PROBE_IMAGES = 8
_MIN_OBSERVATIONS = 15  # an image, of a model that needs no depth
_MAX_TRIALS = ((40, 6), (100, 3))  # (images up to, models grown to the end); larger sets: 2
_MAX_ALIGNED = 8  # images without a seed that are aligned instead


def rebuilt(context: MappingContext, start: pycolmap.Reconstruction, candidates: Set[str]) -> Submodel:
    """A new model in place of one from depth alone; a copy of it where the new one would lose images."""
    old = Submodel.of(copy.deepcopy(start), is_depth_only=True)
    replacement = best_model(context, old.names | candidates, Journal())
    return replacement if replacement is not None and replacement.names >= old.names else old


def best_model(
    context: MappingContext, candidates: Set[str], journal: Journal, *, max_trials: int | None = None
) -> Submodel | None:
    """The model with most images of `candidates`, from several seeds; None when no seed works.

    Trials end as soon as one registers every candidate and contradicts few pairs, or two register the same
    images. `journal` records the discarded ones. If seeds fail and images have depth, tracks of two images
    are used. A model without parallax, or of part of the images, counts beside one from depth alone and an
    aligned one; the pairs decide.
    """
    if len(candidates) == 2:  # all of their tracks have length 2
        context = replace(context, options=with_two_view_tracks(context.options))
    found = _best_of_seeds(context, candidates, journal, max_trials)
    if context.scene.depth is None:
        return found
    adjusted = settled(context, found) if found else None
    if not _is_large(context, adjusted):
        relaxed = replace(context, options=with_two_view_tracks(context.options))
        second = _best_of_seeds(relaxed, candidates, journal, max_trials)
        adjusted_second = settled(relaxed, second) if second else None
        if _larger(adjusted, adjusted_second) is adjusted_second:
            found, adjusted = second, adjusted_second
    has_parallax = adjusted is not None and _has_parallax(context, adjusted)
    if found and adjusted and has_parallax:
        if is_complete(adjusted, candidates):
            return found
        if is_complete(found, candidates) and not _is_undetermined(context.scene, found):
            return found
    of_seeds = found if has_parallax else adjusted
    models = list(filter(None, (_without_seed(context, candidates), of_seeds)))
    best = max(models, key=partial(_evidence, context, candidates), default=None)
    unchanged = best is not None and found is not None and best is adjusted and found.names == adjusted.names
    return found if unchanged else best


def _is_large(context: MappingContext, submodel: Submodel | None) -> bool:
    """Whether a trial has the images and points of a model; without parallax, noise makes few points."""
    return (
        submodel is not None
        and len(submodel.names) >= context.options.pipeline.min_model_size
        and submodel.reconstruction.compute_num_observations() >= _MIN_OBSERVATIONS * len(submodel.names)
    )


def _larger(first: Submodel | None, second: Submodel | None) -> Submodel | None:
    """The trial with more images; the first when they have as many."""
    return second if second and (first is None or len(second.names) > len(first.names)) else first


def _without_seed(context: MappingContext, candidates: Set[str]) -> Submodel | None:
    """A model of images that no seed starts: from depth, or aligned; the one that pairs agree with more.

    Of models with as many images, the one that fewer pairs contradict.
    """
    lifted = _depth_only_model(context, candidates)
    aligned = _aligned_model(context, candidates)
    if lifted is None or aligned is None:
        return lifted or aligned
    if len(aligned.names) != len(lifted.names):
        return max(lifted, aligned, key=partial(_evidence, context, candidates))
    return aligned if judged(context, aligned).contradicted < judged(context, lifted).contradicted else lifted


def _has_parallax(context: MappingContext, submodel: Submodel) -> bool:
    """Whether a settled trial needs no depth: it is large, in line with depth, and no pure rotation."""
    return (
        _is_large(context, submodel)
        and not is_contradicted(context.scene, submodel.reconstruction)
        and not _is_undetermined(context.scene, submodel)
    )


def _is_undetermined(scene: Scene, submodel: Submodel) -> bool:
    """Whether a model has no parallax: few points are left of it, or rotations explain its matches."""
    model = submodel.reconstruction
    return bool(why_undetermined(model) or why_pure_rotation(scene, model))


def _evidence(context: MappingContext, candidates: Set[str], submodel: Submodel) -> float:
    """How far the pairs of some images agree with a model of them; 0 where it has no parallax."""
    if not submodel.is_depth_only and _is_undetermined(context.scene, submodel):
        return 0.0
    return evidence_score(context.scene, [submodel.reconstruction], candidates)


def _aligned_model(context: MappingContext, candidates: Set[str]) -> Submodel | None:
    if context.poses is None or not 1 < len(candidates) <= _MAX_ALIGNED:
        return None
    pairs = context.scene.view_graph.restricted(candidates).edges
    groups = context.poses.groups(pairs)
    models = [posed_model(context, group, how="alignment") for group in groups]
    return max((model for model in models if model), key=lambda model: len(model.names), default=None)


def _depth_only_model(context: MappingContext, candidates: Set[str]) -> Submodel | None:
    journal = Journal()
    model = build_depth_model(context.scene, context.options, candidates, journal)
    if model is None:
        return None
    submodel = Submodel.of(model, journal, is_depth_only=True)
    for name in sorted(submodel.names):
        context.on_registered(name)
    return submodel


def _best_of_seeds(
    context: MappingContext, candidates: Set[str], journal: Journal, max_trials: int | None
) -> Submodel | None:
    trials = _Trials.open(context, candidates, journal)
    probes = trials.probe()
    finished: list[Submodel] = []
    for _ in range(max_trials or _max_trials(len(candidates))):
        submodel = probes.pop(0) if probes and not finished else trials.begin(finished)
        if submodel is None:
            break
        extend(context, submodel, candidates)
        last = judged(context, submodel)
        is_enough = is_complete(last, candidates) and last.contradicted <= MAX_CONTRADICTED
        # Where one has the same images already, other seeds would lead to these, too.
        is_again = any(one.names == last.names for one in finished)
        finished.append(last)
        if is_enough or is_again:
            break
    if not finished:
        journal.note("no_initial_pair", names=sorted(candidates), num_tried=len(trials.tried))
    if len(finished) > 1:
        finished.sort(key=lambda submodel: submodel.quality, reverse=True)
    for submodel in finished[1:] + probes:
        trials.give_up(submodel)
    return finished[0] if finished else None


@dataclass(slots=True)
class _Trials:
    """Trials from the seeds of one set of images."""

    context: MappingContext
    candidates: Set[str]
    journal: Journal
    seeds: list[Seed]
    tried: list[Seed] = field(default_factory=list)

    @classmethod
    def open(cls, context: MappingContext, candidates: Set[str], journal: Journal) -> _Trials:
        with open_session(context.scene, context.options, pycolmap.Reconstruction()) as session:
            return cls(context, candidates, journal, find_seeds(session, candidates))

    def probe(self) -> list[Submodel]:
        """Models of a few images each, best first; of few candidates a single one, with two images."""
        count = _NUM_PROBES if len(self.candidates) > 2 * _PROBE_IMAGES else 1
        probes: list[Submodel] = []
        while len(probes) < count and (submodel := self.begin(probes)):
            if count > 1:
                extend(self.context, submodel, self.candidates, _PROBE_IMAGES)
            probes.append(submodel)
        return sorted(probes, key=lambda submodel: submodel.quality, reverse=True)

    def begin(self, others: list[Submodel]) -> Submodel | None:
        """A model started from the next best seed that works; None when there is none left."""
        wanted = self.candidates - frozenset().union(*(submodel.names for submodel in others))
        while seed := next_seed(self.seeds, self.tried, wanted):
            self.tried.append(seed)
            submodel = Submodel(seed, pycolmap.Reconstruction())
            with open_session(self.context.scene, self.context.options, submodel.reconstruction) as session:
                if initialise(session, seed, submodel.journal):
                    submodel.names = session.registered
                    return submodel
            self.give_up(submodel)
        return None

    def give_up(self, submodel: Submodel) -> None:
        """Record a trial that does not become a model: its seed when that failed, else how far it got."""
        a, b = submodel.seed.pair if submodel.seed else ("", "")
        if not submodel.names:
            self.journal.entries += [
                ("seed", {"model": None, **f}) for e, f in submodel.journal.entries if e == "seed"
            ]
        self.journal.note("trial", a=a, b=b, num_images=len(submodel.names), kept=False)


def _max_trials(num_photos: int) -> int:
    return next((submodels for limit, submodels in _MAX_TRIALS if num_photos <= limit), 2)
