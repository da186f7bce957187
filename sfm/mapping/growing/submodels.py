"""Choosing between models that were started from different seeds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace

import pycolmap

from ..depth.depth_model import build_depth_model
from ..depth.photo_depth import is_contradicted
from ..measures.agreement import contradicted_share
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.journal import Journal
from ..scene.options import MapperOptions, with_two_view_tracks
from ..scene.scene import Scene
from ..scene.session import open_session
from .bundle_adjustment import drop_unobserved, refine_fully, refine_growing
from .growth import grow
from .seeds import Seed, find_seeds, initialise, next_seed

_NUM_PROBES = 3  # models started side by side, of which the best is continued
_PROBE_IMAGES = 8
_MIN_OBSERVATIONS = 15  # an image, of a model that needs no depth
MAX_CONTRADICTED = 0.06
"""Largest share of contradicted pairs of a model; visual aliasing rarely makes more."""
_MAX_COMPLETE = 2  # models of all images; where both contradict pairs, these are probably false
_NEARLY_ALL = 0.95
"""Of more than 100 images: the few that are missing are looked for around the model, not by another."""
_LARGE = 100
_MAX_TRIALS = ((40, 6), (100, 3))  # (images up to, models grown to the end); larger sets: 2


@dataclass(frozen=True, slots=True)
class MappingContext:
    """What all steps of mapping use."""

    scene: Scene
    options: MapperOptions
    on_registered: Callable[[str], None]
    judge: PoseJudge | None = None
    """None: models are compared by the pairs that contradict them."""


@dataclass(slots=True, eq=False)
class Submodel:
    """One model under construction and its events so far."""

    seed: Seed | None
    """None for a model that is continued."""
    reconstruction: pycolmap.Reconstruction
    journal: Journal = field(default_factory=Journal)
    names: frozenset[str] = frozenset()
    is_depth_only: bool = False
    """Whether its points come from depth alone; a mapper would filter them for want of parallax."""

    contradicted: float = 0.0
    """Share of the verified pairs that the poses contradict, once the model is grown."""
    right_images: float | None = None
    """Expected number of images whose pose is right, where it is known."""
    articulation: str = ""
    """The image of another model that this one was split from at."""

    @classmethod
    def of(
        cls, model: pycolmap.Reconstruction, journal: Journal | None = None, *, is_depth_only: bool = False
    ) -> Submodel:
        """A submodel of this reconstruction itself, without a copy."""
        names = frozenset(model.image(i).name for i in model.reg_image_ids())
        return cls(None, model, journal or Journal(), names, is_depth_only)

    @property
    def quality(self) -> tuple[float, int]:
        """Larger is better: images that are probably right; then observations."""
        images = len(self.names) * (1 - self.contradicted) if self.right_images is None else self.right_images
        return round(images, 1), self.reconstruction.compute_num_observations()


def copied(submodel: Submodel) -> Submodel:
    """A copy of model and journal."""
    journal = Journal(list(submodel.journal.entries))
    return replace(submodel, reconstruction=copy.deepcopy(submodel.reconstruction), journal=journal)


def continued(
    context: MappingContext, start: pycolmap.Reconstruction, candidates: Set[str], *, reopen: bool = True
) -> Submodel:
    """A copy of `start` with tracks from pairs that came since, grown by `candidates`.

    Without `reopen` it is taken as it stands: its own images have no new pairs.
    """
    submodel = Submodel(None, copy.deepcopy(start))
    context.scene.append_new_keypoints(submodel.reconstruction)
    if reopen:
        _reopen(context, submodel)
    extend(context, submodel, candidates)
    return judged(context, submodel)


def _reopen(context: MappingContext, submodel: Submodel) -> None:
    with open_session(context.scene, context.options, submodel.reconstruction) as session:
        for name in sorted(session.registered):  # growing alone would leave old images' new pairs unused
            session.mapper.triangulate_image(context.options.triangulation, context.scene.id_of[name])
        refine_growing(session, "reopened", submodel.journal)


def rebuilt(context: MappingContext, start: pycolmap.Reconstruction, candidates: Set[str]) -> Submodel:
    """A new model in place of one from depth alone; a copy of it where the new one would lose images."""
    old = Submodel.of(copy.deepcopy(start), is_depth_only=True)
    replacement = best_model(context, old.names | candidates, Journal())
    return replacement if replacement is not None and replacement.names >= old.names else old


def extend(
    context: MappingContext, submodel: Submodel, candidates: Set[str], max_images: int | None = None
) -> None:
    """Grow a trial's model from where it stands."""
    with open_session(context.scene, context.options, submodel.reconstruction) as session:
        for name in sorted(session.registered):  # the seed's two images, or those of an earlier round
            context.on_registered(name)
        grow(
            session, candidates, submodel.journal, max_images=max_images, on_registered=context.on_registered
        )
        submodel.names = session.registered


def without_images(context: MappingContext, submodel: Submodel, names: Set[str]) -> Submodel:
    """A copy without some images and the others of their frames."""
    rest = copied(submodel)
    model = rest.reconstruction
    with open_session(context.scene, context.options, model) as session:
        for name in sorted(names & session.registered):
            image = model.image(context.scene.id_of[name])
            if image.has_pose:  # False where another image of the frame has been deregistered
                session.observations.deregister_frame(image.frame_id)
        rest.names = session.registered
    return rest


def judged(context: MappingContext, submodel: Submodel) -> Submodel:
    """The submodel with its share of contradicted pairs, and its images that are probably right."""
    submodel.contradicted = contradicted_share(context.scene, submodel.reconstruction)
    if context.judge:
        submodel.right_images = context.judge.right_images(submodel.reconstruction)
    return submodel


def is_complete(submodel: Submodel, candidates: Set[str]) -> bool:
    """Whether a model has all of some images, or of many nearly all."""
    share = _NEARLY_ALL if len(candidates) > _LARGE else 1.0
    return len(submodel.names & candidates) >= share * len(candidates)


def best_model(
    context: MappingContext, candidates: Set[str], journal: Journal, *, max_trials: int | None = None
) -> Submodel | None:
    """The model with most images of `candidates`, from several seeds; None when no seed works.

    Trials end as soon as one registers every candidate and contradicts few pairs. `journal` records the
    discarded ones. If seeds fail and images have depth, tracks of two images are used, then a model from
    depth alone.
    """
    found = _best_of_seeds(context, candidates, journal, max_trials)
    if context.scene.depth is None:
        return found
    settled = _settled(context, found)
    if not _is_large(context, settled):
        relaxed = replace(context, options=with_two_view_tracks(context.options))
        second = _best_of_seeds(relaxed, candidates, journal, max_trials)
        settled_second = _settled(relaxed, second)
        if _larger(settled, settled_second) is settled_second:
            found, settled = second, settled_second
    if settled and _is_large(context, settled) and not is_contradicted(context.scene, settled.reconstruction):
        return found
    best = _larger(settled, _depth_only_model(context, candidates))
    unchanged = best is not None and found is not None and best is settled and found.names == settled.names
    return found if unchanged else best


def _settled(context: MappingContext, submodel: Submodel | None) -> Submodel | None:
    """A fully adjusted copy: what noise alone made of images without parallax is gone from it."""
    if submodel is None:
        return None
    settled = copied(submodel)
    with open_session(context.scene, context.options, settled.reconstruction) as session:
        refine_fully(session, "settled", settled.journal)
        drop_unobserved(session, settled.journal)
        settled.names = session.registered
    return settled


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
        finished.append(judged(context, submodel))
        complete = [one.contradicted for one in finished if is_complete(one, candidates)]
        if complete and (min(complete) <= MAX_CONTRADICTED or len(complete) >= _MAX_COMPLETE):
            break
    if not finished:
        journal.note("no_initial_pair", names=sorted(candidates), num_tried=len(trials.tried))
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
        """Models of a few images each, best first; a single started one where that is not worth its time."""
        unsure = len(self.candidates) > 2 * _PROBE_IMAGES and bool(self.seeds) and self.seeds[0].level > 0
        count = _NUM_PROBES if unsure else 1
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
