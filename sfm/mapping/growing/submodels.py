"""A model under construction, and what every step of mapping uses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Set
from dataclasses import dataclass, field, replace

import pycolmap

from ..measures.agreement import contradicted_share
from ..measures.pure_rotation import why_pure_rotation
from ..measures.soundness import why_undetermined
from ..pose_consistency.pose_judge import PoseJudge
from ..scene.journal import Journal
from ..scene.options import MapperOptions
from ..scene.pose_source import PoseSource
from ..scene.scene import Scene
from ..scene.session import open_session
from .bundle_adjustment import drop_unobserved, refine_fully, refine_growing
from .growth import grow
from .seeds import Seed

MAX_CONTRADICTED = 0.06
"""Largest share of the matches of a model in pairs that it contradicts; visual aliasing rarely makes more."""
_NEARLY_ALL = 0.95
"""Of more than 100 images: the few missing ones are sought by extending the model, not by growing another."""
_LARGE = 100


@dataclass(frozen=True, slots=True)
class MappingContext:
    """What all steps of mapping use."""

    scene: Scene
    options: MapperOptions
    on_registered: Callable[[str], None]
    judge: PoseJudge | None = None
    """None: models are compared by the pairs that contradict them."""
    poses: PoseSource | None = None
    """Asked where no seed starts a model."""
    unknown_focal: Set[int] = frozenset()
    """Cameras of whose focal lengths only their pairs of images say anything."""


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
    """Share of the matches that are in pairs which the poses contradict, once the model is grown."""
    judge: PoseJudge | None = None
    """Of its poses, once the model is grown."""

    @classmethod
    def of(
        cls, model: pycolmap.Reconstruction, journal: Journal | None = None, *, is_depth_only: bool = False
    ) -> Submodel:
        """A submodel of this reconstruction itself, without a copy."""
        names = frozenset(model.image(i).name for i in model.reg_image_ids())
        return cls(None, model, journal or Journal(), names, is_depth_only)

    @property
    def quality(self) -> tuple[float, int]:
        """Larger is better: images that are probably right; then observations. It is measured anew."""
        if self.judge is None:
            images = len(self.names) * (1 - self.contradicted)
        else:
            images = self.judge.right_images(self.reconstruction)
        return round(images, 1), self.reconstruction.compute_num_observations()


def why_dropped(context: MappingContext, submodel: Submodel) -> str:
    """Why a finished model is dropped for want of parallax, in words; depth determines poses without it.

    Where rotations explain its matches, it is asked again once it is adjusted: large errors hide parallax.
    """
    if submodel.is_depth_only:
        return ""
    scene, model = context.scene, submodel.reconstruction
    if why := why_undetermined(model):
        return why
    if scene.depth is not None or not why_pure_rotation(scene, model):
        return ""
    adjusted = settled(context, submodel).reconstruction
    return why_undetermined(adjusted) or why_pure_rotation(scene, adjusted)


def settled(context: MappingContext, submodel: Submodel) -> Submodel:
    """A fully adjusted copy: what noise alone made of images without parallax is gone from it.

    A model from depth alone stays as it is: adjusting would filter its points.
    """
    adjusted = copied(submodel)
    if submodel.is_depth_only:
        return adjusted
    with open_session(context.scene, context.options, adjusted.reconstruction) as session:
        refine_fully(session, "settled", adjusted.journal)
        drop_unobserved(session, adjusted.journal)
        adjusted.names = session.registered
    return adjusted


def copied(submodel: Submodel) -> Submodel:
    """A copy of model and journal."""
    journal = Journal(list(submodel.journal.entries))
    return replace(submodel, reconstruction=copy.deepcopy(submodel.reconstruction), journal=journal)


def continued(
    context: MappingContext,
    start: pycolmap.Reconstruction,
    candidates: Set[str],
    *,
    has_new_pairs: bool = True,
) -> Submodel:
    """A copy of `start` with tracks from pairs that came since, grown by `candidates`.

    Without new pairs of its own images it is taken as it stands.
    """
    submodel = Submodel(None, copy.deepcopy(start))
    context.scene.append_new_keypoints(submodel.reconstruction)
    if has_new_pairs:
        reopen(context, submodel)
    extend(context, submodel, candidates)
    return judged(context, submodel)


def reopen(context: MappingContext, submodel: Submodel) -> None:
    """Triangulate all matches of a model's images, and adjust it."""
    with open_session(context.scene, context.options, submodel.reconstruction) as session:
        session.triangulate_all()  # growing alone would leave old images' new pairs unused
        refine_growing(session, "reopened", submodel.journal)


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


def note_registered(context: MappingContext, submodel: Submodel, how: str) -> None:
    """Record that the images of a model came to it from another one."""
    for name in sorted(submodel.names):
        num = submodel.reconstruction.image(context.scene.id_of[name]).num_points3D
        submodel.journal.note("registered", name=name, how=how, num_visible=num, num_inliers=num)


def judged(context: MappingContext, submodel: Submodel) -> Submodel:
    """The submodel with its share of contradicted pairs, and what its poses are judged by."""
    submodel.contradicted = contradicted_share(context.scene, submodel.reconstruction)
    submodel.judge = context.judge
    return submodel


def is_complete(submodel: Submodel, candidates: Set[str]) -> bool:
    """Whether a model has all of some images, or of many nearly all."""
    share = _NEARLY_ALL if len(candidates) > _LARGE else 1.0
    return len(submodel.names & candidates) >= share * len(candidates)
