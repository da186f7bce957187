"""Parts that hung on one photo, joined again at the size that pairs tell which waited.

Such a part has the right rotation and the right place of its hinge; only its size is open, and a wrong one
makes true pairs across contradict the model as false ones do. So the question is not which pairs agree, but
whether there is a size with which many do. Seen from the hinge, a point of the part and the same point of the
rest lie in one direction, and the ratio of their distances is the size; look-alikes lie anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

import numpy as np
import numpy.typing as npt

from retrieval import Pair

from ..growing.submodels import MappingContext, Submodel, copied
from ..measures.agreement import CONTRADICTED_PX, median_errors_px
from ..measures.shifts import Centres, camera_centres, moved
from ..measures.soundness import MIN_COMMON_POINTS
from ..scene.journal import Journal
from ..scene.options import with_two_view_tracks
from ..scene.session import open_session
from .merge import Points, attach_part, common_points, similarity, transfer_poses

_SAME_DIRECTION_COS = float(np.cos(np.deg2rad(25.0)))
"""Parts that were bent, besides, have turned by 3 and by 15 degrees in rendered streets."""
_SAME_SIZE = 0.25  # natural logarithm, to both sides
_MIN_VOTES = 20
_MIN_SHARE = 0.5
"""Of the points in the same direction, those that say the same size."""


def rejoin_parts(
    context: MappingContext, submodels: Sequence[Submodel], deferred: Set[Pair], journal: Journal
) -> list[Submodel]:
    """The models, with parts joined to those that they were taken off where pairs across tell their size.

    Args:
        context: what trials work with; its scene has all pairs.
        submodels: models; those with a hinge lie where they lay in the model that they were taken off.
        deferred: pairs that the models were grown without, true or false.
        journal: told of what is tried.
    """
    models = list(submodels)
    hanging = sorted((t for t in submodels if t.articulation), key=lambda t: (-len(t.names), min(t.names)))
    if not hanging or not deferred:
        return models
    homes = [camera_centres(submodel.reconstruction) for submodel in submodels]
    for part in hanging:
        home = next((centres for centres in homes if context.scene.id_of[part.articulation] in centres), {})
        base = next((submodel for submodel in models if part.articulation in submodel.names), None)
        attempts = _attempts(context, base, part) if base else ()
        tried = (_whole(context, *both, home, deferred, journal) for both in attempts)
        whole = next((one for one in tried if one), None)
        if base and whole:
            models = [whole if one is base else one for one in models if one is not part]
            # a base that hangs itself is joined with all that was joined to it
            hanging[:] = [whole if one is base else one for one in hanging]
    return models


def _whole(
    context: MappingContext,
    base: Submodel,
    part: Submodel,
    home: Centres,
    deferred: Set[Pair],
    journal: Journal,
) -> Submodel | None:
    """Both as one model, or None where nothing tells the size of the part or the model contradicts it.

    `home` has the centres of the photos that the hinge belonged to, in the frame in which the part still is.
    """
    base_from_home = moved(home, camera_centres(base.reconstruction))
    points_base, points_part = common_points(context, base, part)
    if base_from_home is None or len(points_base) < MIN_COMMON_POINTS:
        return None
    articulation = base.reconstruction.image(context.scene.id_of[part.articulation]).projection_center()
    chosen = _of_one_size(base_from_home * points_part - articulation, points_base - articulation)
    if not chosen.any():
        return None
    base_from_part = similarity(context, base, points_part[chosen], points_base[chosen])
    if base_from_part is None:
        return None
    across = {pair for pair in deferred if len(base.names & {*pair}) == 1 == len(part.names & {*pair})}
    rough = copied(base)
    transfer_poses(context, rough.reconstruction, part, base_from_part)
    errors = median_errors_px(context.scene, rough.reconstruction, across)
    trusted = {pair for pair, error in errors.items() if error <= CONTRADICTED_PX}
    return attach_part(context, base, part, across, trusted, deferred, journal)


def _attempts(context: MappingContext, base: Submodel, part: Submodel) -> Iterator[tuple[Submodel, Submodel]]:
    """The models as they are, then with points that are less exact but more."""
    yield base, part
    yield _with_points_of_pairs(context, base), _with_points_of_pairs(context, part)


def _with_points_of_pairs(context: MappingContext, submodel: Submodel) -> Submodel:
    """A copy with the points that two photos see alone, too: where parts hang, there are few others."""
    whole, options = copied(submodel), with_two_view_tracks(context.options)
    with open_session(context.scene, options, whole.reconstruction) as session:
        for name in sorted(session.registered):
            session.mapper.triangulate_image(options.triangulation, context.scene.id_of[name])
    return whole


def _of_one_size(part: Points, base: Points) -> npt.NDArray[np.bool_]:
    """Which points (N, 3), both as seen from the hinge, lie in one direction and tell the commonest size."""
    far_part, far_base = np.linalg.norm(part, axis=1), np.linalg.norm(base, axis=1)
    along = np.einsum("ij,ij->i", part, base) >= _SAME_DIRECTION_COS * far_part * far_base
    along &= (far_part > 0) & (far_base > 0)
    size = np.full(len(part), np.inf)
    size[along] = np.log(far_base[along] / far_part[along])
    votes = np.sort(size[along])
    counts = np.searchsorted(votes, votes + 2 * _SAME_SIZE, side="right") - np.arange(len(votes))
    if not len(votes) or counts.max() < max(_MIN_VOTES, _MIN_SHARE * len(votes)):
        return np.zeros(len(part), bool)
    least = votes[int(np.argmax(counts))]
    return np.asarray((size >= least) & (size <= least + 2 * _SAME_SIZE))
