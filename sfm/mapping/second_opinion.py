"""Parts of a model that stand where look-alikes put them, and elsewhere by the most of their pairs.

Pairs are trusted in the order of their strength, and one strong pair of look-alikes vouches for all that join
the same two places; the true pairs of the part then contradict the model and stay out. Once there is a model,
the pairs that it refuses can be heard together: where it hangs together by little, and one other place agrees
with far more of the matches across than the present one, the part is moved there.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from .agreement import AGREED_PX, contradicted_share, median_errors_px
from .evidence.pair_matches import PairMatches
from .evidence.shared_context import context_agreement
from .journal import Journal
from .merge import MIN_KEPT, common_points, copied, similarity
from .options import MapperOptions
from .placing import agreeing, joined_by
from .scene import Scene
from .soundness import MIN_COMMON_POINTS
from .thin_cuts import thinly_held
from .trials import Trial, Workbench, without_photos

_OUTVOTED = 1.5
"""Matches that agree with another place, times those with the present one: 3.2 of a street of a rendered
town that stood at a wrong corner, 1.1 at most of parts of two towns that stand where they should. With the
square of how well surroundings agree as weights, 3.7 of that street, and 0.8 of the two boxes of
`dup_cereal`, whose false pairs have three times as many matches as the true ones."""
_MAX_MOVES = 4


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
        edges = scene.view_graph.edges
        errors = median_errors_px(scene, trial.reconstruction, edges)
        inliers = {pair: edges[pair].num_inliers for pair in errors}
        parts = thinly_held(trial.names, errors, inliers)
        moves = (_moved(bench, trial, part, suspects, journal) for part in parts)
        found = next((move for move in moves if move is not None), None)
        if found is None:
            break
        trial = found
    if trial is start:
        return None
    return trial.reconstruction


def _moved(
    bench: Workbench, trial: Trial, part: frozenset[str], suspects: Set[Pair], journal: Journal
) -> Trial | None:
    """The model with a part elsewhere; None where no other place has far more matches for it."""
    edges = bench.scene.view_graph.edges
    across = {pair for pair in edges if len(part & {*pair}) == 1 and trial.names >= {*pair}}
    base, moving = _without(bench, trial, part), _without(bench, trial, trial.names - part)
    present = median_errors_px(bench.scene, trial.reconstruction, across)
    agreed = {pair for pair, error in present.items() if error <= AGREED_PX}
    against = replace(bench, scene=bench.scene.without(agreed))
    points_base, points_part = common_points(against, base, moving)
    if len(points_base) < MIN_COMMON_POINTS:
        return None
    elsewhere = similarity(bench, base, points_part, points_base, min_inlier_ratio=0.0)
    if elsewhere is None:
        return None
    true = agreeing(bench, base, moving, elsewhere, across)
    votes = [sum(edges[pair].num_inliers for pair in pairs) for pairs in (agreed, true)]
    if votes[1] < _OUTVOTED * votes[0] or not _same_surroundings(bench.scene, agreed, true):
        return None

    def is_better(whole: Trial) -> bool:
        return (
            whole.names >= trial.names
            and whole.reconstruction.compute_num_observations()
            >= MIN_KEPT * trial.reconstruction.compute_num_observations()
            and contradicted_share(bench.scene, whole.reconstruction)
            < contradicted_share(bench.scene, trial.reconstruction)
        )

    whole = joined_by(bench, base, moving, across, true, suspects, journal, accept=is_better)
    journal.note("moved", names=sorted(part), num_matches=votes, accepted=whole is not None)
    return whole


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
