"""Pendant parts are joined again at the scale that deferred pairs determine.

Such a part has the right rotation about its articulation image, and only its scale is open. A wrong scale
makes true pairs across contradict the model as false ones do. So the question is whether one scale agrees
with many pairs. Seen from the articulation image, a point of the part and the same point of the rest lie in
one direction. The ratio of their distances is the scale.
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
from .merge import Points, attach_part, common_points, similarity, tolerance, transfer_poses

_SAME_DIRECTION_COS = float(np.cos(np.deg2rad(25.0)))
"""Cosine of the largest angle between both directions of a common point."""
_SAME_SIZE = 0.25  # natural logarithm, to both sides
_MIN_VOTES = 20
_MIN_SHARE = 0.5
"""Share of the points in one direction that agree on a scale."""


def rejoin_parts(
    context: MappingContext, submodels: Sequence[Submodel], deferred: Set[Pair], journal: Journal
) -> list[Submodel]:
    """The models, with pendant parts joined to their bases where deferred pairs determine the scale.

    Args:
        context: of the mapping; its scene has all pairs.
        submodels: models; those with an articulation image lie in the frame of the model that they were
            split from.
        deferred: pairs that the models were grown without, true or false.
        journal: records each attempt.
    """
    models = list(submodels)
    pendant = sorted((t for t in submodels if t.articulation), key=lambda t: (-len(t.names), min(t.names)))
    if not pendant or not deferred:
        return models
    homes = [camera_centres(submodel.reconstruction) for submodel in submodels]
    for part in pendant:
        home = next((centres for centres in homes if context.scene.id_of[part.articulation] in centres), {})
        base = next((submodel for submodel in models if part.articulation in submodel.names), None)
        attempts = _attempts(context, base, part) if base else ()
        tried = (_whole(context, *both, home, deferred, journal) for both in attempts)
        whole = next((one for one in tried if one), None)
        if base and whole:
            models = [whole if one is base else one for one in models if one is not part]
            # a pendant base is joined with all that was joined to it
            pendant[:] = [whole if one is base else one for one in pendant]
    return models


def _whole(
    context: MappingContext,
    base: Submodel,
    part: Submodel,
    home: Centres,
    deferred: Set[Pair],
    journal: Journal,
) -> Submodel | None:
    """One model of both, or None where no scale is found or the model contradicts it.

    `home` has the camera centres of the model that the part was split from, in the frame of the part.
    """
    base_from_home = moved(home, camera_centres(base.reconstruction))
    points_base, points_part = common_points(context, base, part)
    if base_from_home is None or len(points_base) < MIN_COMMON_POINTS:
        return None
    articulation = base.reconstruction.image(context.scene.id_of[part.articulation]).projection_center()
    chosen = _of_one_size(base_from_home * points_part - articulation, points_base - articulation)
    if not chosen.any():
        return None
    base_from_part = similarity(
        context, points_part[chosen], points_base[chosen], tolerance(base.reconstruction)
    )
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
    """A copy with points that only two images observe."""
    whole, options = copied(submodel), with_two_view_tracks(context.options)
    with open_session(context.scene, options, whole.reconstruction) as session:
        session.triangulate_all()
    return whole


def _of_one_size(part: Points, base: Points) -> npt.NDArray[np.bool_]:
    """Which points (N, 3), relative to the articulation image, lie in one direction and agree on the
    commonest scale."""
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
