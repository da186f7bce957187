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

from ..growing.trials import Trial, Workbench, copied
from ..measures.shifts import Centres, camera_centres, moved
from ..measures.soundness import MIN_COMMON_POINTS
from ..scene.journal import Journal
from ..scene.options import with_two_view_tracks
from ..scene.session import open_session
from .attach import agreeing, joined_by
from .merge import Points, common_points, similarity

_SAME_DIRECTION_COS = float(np.cos(np.deg2rad(25.0)))
"""Parts that were bent, besides, have turned by 3 and by 15 degrees in rendered streets."""
_SAME_SIZE = 0.25  # natural logarithm, to both sides
_MIN_VOTES = 20
_MIN_SHARE = 0.5
"""Of the points in the same direction, those that say the same size."""


def rejoined(bench: Workbench, trials: Sequence[Trial], suspects: Set[Pair], journal: Journal) -> list[Trial]:
    """The models, with parts joined to those that they were taken off where pairs across tell their size.

    Args:
        bench: what trials work with; its scene has all pairs.
        trials: models; those with a hinge lie where they lay in the model that they were taken off.
        suspects: pairs that the models were grown without, true or false.
        journal: told of what is tried.
    """
    models = list(trials)
    hanging = sorted((t for t in trials if t.hinge), key=lambda t: (-len(t.names), min(t.names)))
    if not hanging or not suspects:
        return models
    homes = [camera_centres(trial.reconstruction) for trial in trials]
    for part in hanging:
        home = next((centres for centres in homes if bench.scene.id_of[part.hinge] in centres), {})
        base = next((trial for trial in models if part.hinge in trial.names), None)
        attempts = _attempts(bench, base, part) if base else ()
        tried = (_whole(bench, *both, home, suspects, journal) for both in attempts)
        whole = next((one for one in tried if one), None)
        if base and whole:
            models = [whole if one is base else one for one in models if one is not part]
            # a base that hangs itself is joined with all that was joined to it
            hanging[:] = [whole if one is base else one for one in hanging]
    return models


def _whole(
    bench: Workbench,
    base: Trial,
    part: Trial,
    home: Centres,
    suspects: Set[Pair],
    journal: Journal,
) -> Trial | None:
    """Both as one model, or None where nothing tells the size of the part or the model contradicts it.

    `home` has the centres of the photos that the hinge belonged to, in the frame in which the part still is.
    """
    base_from_home = moved(home, camera_centres(base.reconstruction))
    points_base, points_part = common_points(bench, base, part)
    if base_from_home is None or len(points_base) < MIN_COMMON_POINTS:
        return None
    hinge = base.reconstruction.image(bench.scene.id_of[part.hinge]).projection_center()
    chosen = _of_one_size(base_from_home * points_part - hinge, points_base - hinge)
    if not chosen.any():
        return None
    base_from_part = similarity(bench, base, points_part[chosen], points_base[chosen])
    if base_from_part is None:
        return None
    across = {pair for pair in suspects if len(base.names & {*pair}) == 1 == len(part.names & {*pair})}
    true = agreeing(bench, base, part, base_from_part, across)
    return joined_by(bench, base, part, across, true, suspects, journal)


def _attempts(bench: Workbench, base: Trial, part: Trial) -> Iterator[tuple[Trial, Trial]]:
    """The models as they are, then with points that are less exact but more."""
    yield base, part
    yield _with_points_of_pairs(bench, base), _with_points_of_pairs(bench, part)


def _with_points_of_pairs(bench: Workbench, trial: Trial) -> Trial:
    """A copy with the points that two photos see alone, too: where parts hang, there are few others."""
    whole, options = copied(trial), with_two_view_tracks(bench.options)
    with open_session(bench.scene, options, whole.reconstruction) as session:
        for name in sorted(session.registered):
            session.mapper.triangulate_image(options.triangulation, bench.scene.id_of[name])
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
