"""Choosing between models that were started from different seeds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace

import pycolmap

from ..depth.depth_model import build_depth_model
from ..depth.photo_depth import is_contradicted
from ..measures.agreement import contradicted_share
from ..scene.journal import Journal
from ..scene.options import MapperOptions, with_two_view_tracks
from ..scene.scene import Scene
from ..scene.session import open_session
from .bundle_adjustment import drop_blind, refine_fully, refine_growing
from .growth import grow
from .seeds import Seed, find_seeds, initialise, next_seed

_NUM_PROBES = 3  # models started side by side, of which the best is continued
_PROBE_IMAGES = 8
_MIN_OBSERVATIONS = 15  # a photo, of a model that needs no depth
MAX_CONTRADICTED = 0.06
"""Share of contradicted pairs that a model may have; look-alikes alone rarely are more."""
_MAX_COMPLETE = 2  # models of all photos; where both contradict pairs, these are likely look-alikes
_NEARLY_ALL = 0.95
"""Of more than 100 photos: the few that are missing are looked for around the model, not by another."""
_LARGE = 100
_MAX_TRIALS = ((40, 6), (100, 3))  # (photos up to, models grown to the end); larger sets: 2


@dataclass(frozen=True, slots=True)
class Workbench:
    """What every trial works with."""

    scene: Scene
    options: MapperOptions
    on_registered: Callable[[str], None]


@dataclass(slots=True, eq=False)
class Trial:
    """One model under construction and its story so far."""

    seed: Seed | None
    """None for a model that is continued."""
    reconstruction: pycolmap.Reconstruction
    journal: Journal = field(default_factory=Journal)
    names: frozenset[str] = frozenset()
    from_depth: bool = False
    """Whether its points come from depth alone; a mapper would filter them for want of parallax."""

    contradicted: float = 0.0
    """Share of the verified pairs that the poses contradict, once the model is grown."""
    hinge: str = ""
    """The photo of another model that this one, taken off it, hung on alone."""

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> Trial:
        """A model that is taken as it stands, itself and no copy."""
        return cls(None, model, names=frozenset(model.image(i).name for i in model.reg_image_ids()))

    @property
    def quality(self) -> tuple[float, int]:
        """Larger is better: photos registered, less where pairs contradict their poses; then observations."""
        photos = len(self.names) * (1 - self.contradicted)
        return round(photos, 3), self.reconstruction.compute_num_observations()


def copied(trial: Trial) -> Trial:
    """The same model and story, to be changed."""
    journal = Journal(list(trial.journal.entries))
    return replace(trial, reconstruction=copy.deepcopy(trial.reconstruction), journal=journal)


def continued(
    bench: Workbench, start: pycolmap.Reconstruction, candidates: Set[str], *, reopen: bool = True
) -> Trial:
    """A copy of `start` with tracks from pairs that came since, grown by `candidates`.

    Without `reopen` it is taken as it stands: its own photos have no new pairs.
    """
    trial = Trial(None, copy.deepcopy(start))
    bench.scene.append_new_keypoints(trial.reconstruction)
    if reopen:
        _reopen(bench, trial)
    extend(bench, trial, candidates)
    return judged(bench, trial)


def _reopen(bench: Workbench, trial: Trial) -> None:
    with open_session(bench.scene, bench.options, trial.reconstruction) as session:
        for name in sorted(session.registered):  # growing alone would leave old photos' new pairs unused
            session.mapper.triangulate_image(bench.options.triangulation, bench.scene.id_of[name])
        refine_growing(session, "reopened", trial.journal)


def rebuilt(bench: Workbench, start: pycolmap.Reconstruction, candidates: Set[str]) -> Trial:
    """A new model in place of one from depth alone; a copy of it where the new one would lose photos."""
    names = frozenset(start.image(i).name for i in start.reg_image_ids())
    fresh = best_model(bench, names | candidates, Journal())
    if fresh is not None and fresh.names >= names:
        return fresh
    return Trial(None, copy.deepcopy(start), names=names, from_depth=True)


def extend(bench: Workbench, trial: Trial, candidates: Set[str], max_images: int | None = None) -> None:
    """Grow a trial's model from where it stands."""
    with open_session(bench.scene, bench.options, trial.reconstruction) as session:
        for name in sorted(session.registered):  # the seed's two photos, or those of an earlier round
            bench.on_registered(name)
        grow(session, candidates, trial.journal, max_images=max_images, on_registered=bench.on_registered)
        trial.names = session.registered


def without_photos(bench: Workbench, model: pycolmap.Reconstruction, names: Set[str]) -> frozenset[str]:
    """Take photos out of a model, with the others of their rigs; the names of those that stay."""
    with open_session(bench.scene, bench.options, model) as session:
        for name in sorted(names & session.registered):
            image = model.image(bench.scene.id_of[name])
            if image.has_pose:  # a photo of the same frame may have taken it along
                session.observations.deregister_frame(image.frame_id)
        return session.registered


def judged(bench: Workbench, trial: Trial) -> Trial:
    """The trial, once it is known how much of the verified pairs its poses contradict."""
    trial.contradicted = contradicted_share(bench.scene, trial.reconstruction)
    return trial


def best_model(
    bench: Workbench, candidates: Set[str], journal: Journal, *, max_trials: int | None = None
) -> Trial | None:
    """The model of `candidates` that registers most of them, from several seeds; None when no seed works.

    Trials end as soon as one registers every candidate and contradicts few pairs. `journal` is told of the
    trials that were given up.
    Where photos have depth, it is asked when seeds fail: for tracks of two photos, then for a whole model.
    """
    found = _best_of_seeds(bench, candidates, journal, max_trials)
    if bench.scene.depth is None:
        return found
    settled = _settled(bench, found)
    if not _is_large(bench, settled):
        relaxed = replace(bench, options=with_two_view_tracks(bench.options))
        second = _best_of_seeds(relaxed, candidates, journal, max_trials)
        settled_second = _settled(relaxed, second)
        if _larger(settled, settled_second) is settled_second:
            found, settled = second, settled_second
    if settled and _is_large(bench, settled) and not is_contradicted(bench.scene, settled.reconstruction):
        return found
    best = _larger(settled, _from_depth(bench, candidates))
    unchanged = best is not None and found is not None and best is settled and found.names == settled.names
    return found if unchanged else best


def _settled(bench: Workbench, trial: Trial | None) -> Trial | None:
    """A fully adjusted copy: what noise alone made of photos without parallax is gone from it."""
    if trial is None:
        return None
    settled = copied(trial)
    with open_session(bench.scene, bench.options, settled.reconstruction) as session:
        refine_fully(session, "settled", settled.journal)
        drop_blind(session, settled.journal)
        settled.names = session.registered
    return settled


def _is_large(bench: Workbench, trial: Trial | None) -> bool:
    """Whether a trial has the photos and points of a model; without parallax, noise makes few points."""
    return (
        trial is not None
        and len(trial.names) >= bench.options.pipeline.min_model_size
        and trial.reconstruction.compute_num_observations() >= _MIN_OBSERVATIONS * len(trial.names)
    )


def _larger(first: Trial | None, second: Trial | None) -> Trial | None:
    """The trial with more photos; the first when they have as many."""
    return second if second and (first is None or len(second.names) > len(first.names)) else first


def _from_depth(bench: Workbench, candidates: Set[str]) -> Trial | None:
    journal = Journal()
    model = build_depth_model(bench.scene, bench.options, candidates, journal)
    if model is None:
        return None
    names = frozenset(model.image(i).name for i in model.reg_image_ids())
    for name in sorted(names):
        bench.on_registered(name)
    return Trial(None, model, journal, names, from_depth=True)


def _best_of_seeds(
    bench: Workbench, candidates: Set[str], journal: Journal, max_trials: int | None
) -> Trial | None:
    contest = _Contest.open(bench, candidates, journal)
    probes = contest.probe()
    finished: list[Trial] = []
    for _ in range(max_trials or _max_trials(len(candidates))):
        trial = probes.pop(0) if probes and not finished else contest.begin(finished)
        if trial is None:
            break
        extend(bench, trial, candidates)
        finished.append(judged(bench, trial))
        share = _NEARLY_ALL if len(candidates) > _LARGE else 1.0
        complete = [
            one.contradicted for one in finished if len(one.names & candidates) >= share * len(candidates)
        ]
        if complete and (min(complete) <= MAX_CONTRADICTED or len(complete) >= _MAX_COMPLETE):
            break
    if not finished:
        journal.note("no_seed", names=sorted(candidates), num_tried=len(contest.tried))
    finished.sort(key=lambda trial: trial.quality, reverse=True)
    for trial in finished[1:] + probes:
        contest.give_up(trial)
    return finished[0] if finished else None


@dataclass(slots=True)
class _Contest:
    """The seeds of one set of photos, used up one after the other."""

    bench: Workbench
    candidates: Set[str]
    journal: Journal
    seeds: list[Seed]
    tried: list[Seed] = field(default_factory=list)

    @classmethod
    def open(cls, bench: Workbench, candidates: Set[str], journal: Journal) -> _Contest:
        with open_session(bench.scene, bench.options, pycolmap.Reconstruction()) as session:
            return cls(bench, candidates, journal, find_seeds(session, candidates))

    def probe(self) -> list[Trial]:
        """Models of a few photos each, best first; a single started one where that is not worth its time."""
        unsure = len(self.candidates) > 2 * _PROBE_IMAGES and bool(self.seeds) and self.seeds[0].level > 0
        count = _NUM_PROBES if unsure else 1
        probes: list[Trial] = []
        while len(probes) < count and (trial := self.begin(probes)):
            if count > 1:
                extend(self.bench, trial, self.candidates, _PROBE_IMAGES)
            probes.append(trial)
        return sorted(probes, key=lambda trial: trial.quality, reverse=True)

    def begin(self, others: list[Trial]) -> Trial | None:
        """A model started from the next best seed that works; None when there is none left."""
        wanted = self.candidates - frozenset().union(*(trial.names for trial in others))
        while seed := next_seed(self.seeds, self.tried, wanted):
            self.tried.append(seed)
            trial = Trial(seed, pycolmap.Reconstruction())
            with open_session(self.bench.scene, self.bench.options, trial.reconstruction) as session:
                if initialise(session, seed, trial.journal):
                    trial.names = session.registered
                    return trial
            self.give_up(trial)
        return None

    def give_up(self, trial: Trial) -> None:
        """Record a trial that does not become a model: its seed when that failed, else how far it got."""
        a, b = trial.seed.pair if trial.seed else ("", "")
        if not trial.names:
            self.journal.entries += [
                ("seed", {"model": None, **f}) for e, f in trial.journal.entries if e == "seed"
            ]
        self.journal.note("trial", a=a, b=b, num_images=len(trial.names), kept=False)


def _max_trials(num_photos: int) -> int:
    return next((trials for limit, trials in _MAX_TRIALS if num_photos <= limit), 2)
