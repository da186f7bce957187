"""Parts of a model that stand where look-alikes put them, and elsewhere by the most of their pairs.

Pairs are trusted in the order of their strength, and one strong pair of look-alikes vouches for all that join
the same two places; the true pairs of the part then contradict the model and stay out. Once there is a model,
the pairs that it refuses can be heard together: where it hangs together by little, and one other place agrees
with far more of the matches across than the present one, the part is moved there. Fewer suffice where photos
do not see what they should see from where they stand.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from .agreement import AGREED_PX, contradicted_share, median_errors_px
from .covisibility import predicted_overlaps
from .evidence.pair_matches import PairMatches
from .evidence.shared_context import context_agreement
from .evidence.view_graph import TwoView
from .journal import Journal
from .loose_parts import loosely_held
from .merge import MIN_KEPT, common_points, copied, similarity
from .options import MapperOptions
from .placing import agreeing, joined_by
from .same_place import SharedPlace, shared_place
from .scene import Scene
from .soundness import MIN_COMMON_POINTS
from .trials import Trial, Workbench, without_photos

_OUTVOTED = 1.5
"""Matches that agree with another place, times those with the present one: 3.2 of a street of a rendered
town that stood at a wrong corner, 1.1 at most of parts of two towns that stand where they should. With the
square of how well surroundings agree as weights, 3.7 of that street, and 0.8 of the two boxes of
`dup_cereal`, whose false pairs have three times as many matches as the true ones."""
_OUTVOTED_IF_DENIED = 0.5
"""Where most pairs that should match do not (`same_place`): three parts of a rendered town, 40 of 200 photos,
had 1.15, 0.65 and 2.7, and AUC@5 rose from 63 to 93."""
_MAX_MOVES = 10


@dataclass(frozen=True, slots=True)
class _Move:
    """A part of a model, and the other place that most of the pairs that contradict it agree on."""

    part: frozenset[str]
    base_from_part: pycolmap.Sim3d
    across: frozenset[Pair]
    """Verified pairs of the part with the rest of the model."""
    present: frozenset[Pair]
    """Pairs across that agree with where the part stands."""
    other: frozenset[Pair]
    """Pairs across that agree with the other place."""
    here: SharedPlace
    there: SharedPlace

    @property
    def gain(self) -> int:
        """By how many there are fewer pairs that should match and do not."""
        return self.here.num_denying - self.there.num_denying

    def votes(self, edges: Mapping[Pair, TwoView]) -> tuple[int, int]:
        """Matches that agree with the present place alone, and with the other one alone."""
        sides = self.present - self.other, self.other - self.present
        here, there = (sum(edges[pair].num_inliers for pair in pairs) for pairs in sides)
        return here, there


def reconsidered(
    scene: Scene,
    model: pycolmap.Reconstruction,
    options: MapperOptions,
    suspects: Set[Pair],
    journal: Journal,
) -> pycolmap.Reconstruction | None:
    """The model with parts moved to where most of the matches across would have them; None: it stays.

    Args:
        scene: with all pairs.
        model: settled, so that what contradicts it contradicts its places and not its roughness; unchanged.
        options: of the mapper.
        suspects: pairs that may be look-alikes', true or false.
        journal: told of what was tried.
    """
    bench = Workbench(scene, options, lambda name: None)
    names = frozenset(model.image(image_id).name for image_id in model.reg_image_ids())
    trial = start = Trial(None, model, names=names)
    for _ in range(_MAX_MOVES):
        moves = sorted(_moves(bench, trial), key=lambda move: (-move.gain, len(move.part), min(move.part)))
        done = (_carried_out(bench, trial, move, suspects, journal) for move in moves)
        found = next((moved for moved in done if moved is not None), None)
        if found is None:
            break
        trial = found
    if trial is start:
        return None
    return trial.reconstruction


def _moves(bench: Workbench, trial: Trial) -> Iterator[_Move]:
    """Parts that little holds, where the matches across call for another place.

    Far more of them have to, or, where photos do not see what they should see at the present place, half.
    """
    edges = bench.scene.view_graph.edges
    errors = median_errors_px(bench.scene, trial.reconstruction, edges)
    inliers = {pair: edges[pair].num_inliers for pair in errors}
    parts = loosely_held(trial.names, errors, inliers)
    overlaps = predicted_overlaps(trial.reconstruction) if parts else {}
    for part in sorted(parts, key=sorted):
        move = _move(bench, trial, part, errors, overlaps)
        if move is None or move.there.is_denied:
            continue
        here, there = move.votes(edges)
        if move.here.is_denied:
            if there >= _OUTVOTED_IF_DENIED * here:
                yield move
        elif there >= _OUTVOTED * here and _same_surroundings(bench.scene, move.present, move.other):
            yield move


def _move(
    bench: Workbench,
    trial: Trial,
    part: frozenset[str],
    errors_px: Mapping[Pair, float],
    overlaps: Mapping[Pair, float],
) -> _Move | None:
    """The place that the pairs which contradict a part would have it at; None where they agree on none."""
    scene, edges = bench.scene, bench.scene.view_graph.edges
    across = frozenset(pair for pair in errors_px if len(part & {*pair}) == 1)
    present = frozenset(pair for pair in across if errors_px[pair] <= AGREED_PX)
    here = shared_place(overlaps, part, scene.tried, present)
    agree, contradict = (
        sum(edges[pair].num_inliers for pair in some) for some in (present, across - present)
    )
    if contradict <= (_OUTVOTED_IF_DENIED if here.is_denied else 1) * agree:
        return None
    base, moving = _without(bench, trial, part), _without(bench, trial, trial.names - part)
    against = replace(scene, view_graph=scene.view_graph.without(present))
    points_base, points_part = common_points(replace(bench, scene=against), base, moving)
    if len(points_base) < MIN_COMMON_POINTS:
        return None
    elsewhere = similarity(bench, base, points_part, points_base, min_inlier_ratio=0.0)
    if elsewhere is None:
        return None
    other = agreeing(bench, base, moving, elsewhere, across)
    there = shared_place(_overlaps_at(base, moving, elsewhere), part, scene.tried, other)
    return _Move(part, elsewhere, across, present, other, here, there)


def _carried_out(
    bench: Workbench, trial: Trial, move: _Move, suspects: Set[Pair], journal: Journal
) -> Trial | None:
    """The model with the part at the other place; None where it falls apart there."""
    scene, part = bench.scene, move.part
    base, moving = _without(bench, trial, part), _without(bench, trial, trial.names - part)

    def is_better(whole: Trial) -> bool:
        before, after = trial.reconstruction, whole.reconstruction
        kept = after.compute_num_observations() >= MIN_KEPT * before.compute_num_observations()
        if not kept or not whole.names >= trial.names:
            return False
        if move.here.is_denied:
            return _num_denying(scene, after, move) < move.here.num_denying
        return contradicted_share(scene, after) < contradicted_share(scene, before)

    whole = joined_by(
        bench,
        base,
        moving,
        move.across,
        move.other,
        suspects,
        journal,
        base_from_part=move.base_from_part,
        accept=is_better,
    )
    journal.note(
        "moved",
        names=sorted(part),
        num_matches=list(move.votes(scene.view_graph.edges)),
        num_denying=[move.here.num_denying, move.there.num_denying],
        accepted=whole is not None,
    )
    return whole


def _num_denying(scene: Scene, model: pycolmap.Reconstruction, move: _Move) -> int:
    """Pairs across that should match by where the part stands in a model, and do not."""
    errors = median_errors_px(scene, model, move.across)
    true = {pair for pair, error in errors.items() if error <= AGREED_PX}
    return shared_place(predicted_overlaps(model), move.part, scene.tried, true).num_denying


def _overlaps_at(base: Trial, part: Trial, base_from_part: pycolmap.Sim3d) -> Mapping[Pair, float]:
    """What photos would see of the same, were the part at this place of the base."""
    there = copy.deepcopy(part.reconstruction)
    there.transform(base_from_part)
    return predicted_overlaps(base.reconstruction, there)


def _same_surroundings(scene: Scene, present: Set[Pair], elsewhere: Set[Pair]) -> bool:
    """Whether the pairs that speak for another place outvote the present ones by what surrounds them, too.

    Of look-alikes the surroundings differ, however many matches they have.
    """
    graph, edges = scene.cache.correspondence_graph, scene.view_graph.edges

    def between(pair: Pair) -> npt.NDArray[np.uint32]:
        return graph.extract_matches_between_images(scene.id_of[pair.a], scene.id_of[pair.b])

    cameras = {name: scene.cache.camera(scene.cache.image(i).camera_id) for name, i in scene.id_of.items()}
    matches = PairMatches(
        {name: scene.keypoints(i).astype(np.float64) for name, i in scene.id_of.items()},
        {name: (camera.width, camera.height) for name, camera in cameras.items()},
        {pair: between(pair).astype(np.int64) for pair in edges},
    )
    agreement = context_agreement(matches, present | elsewhere)
    agreed = {pair: edges[pair].num_inliers * share**2 for pair, share in agreement.items()}
    return sum(agreed[pair] for pair in elsewhere) >= _OUTVOTED * sum(agreed[pair] for pair in present)


def _without(bench: Workbench, trial: Trial, names: Set[str]) -> Trial:
    rest = copied(trial)
    rest.names = without_photos(bench, rest.reconstruction, names)
    return rest
