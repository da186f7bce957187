"""What uncertain intrinsics add to the covariance of a pose: that of the poses by others as likely."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from .values import Array, MetricPose, PairObservations


def intrinsics_covariance(
    pose: MetricPose,
    others: Iterable[Sequence[PairObservations]],
    solve: Callable[[PairObservations], MetricPose | None],
) -> Array:
    """Covariance (6, 6), as `MetricPose.covariance`, from independent errors of intrinsics; 0 where none is.

    Args:
        pose: by the intrinsics as they are.
        others: for each parameter the same matches by cameras that differ in it by its standard deviation,
            upwards and downwards: over a flat scene a pose moves much farther one way than the other.
        solve: finds a pose as `pose` was found. Cameras by which it finds none add nothing.
    """
    covariance = np.zeros((6, 6))
    for ends in others:
        found = [other for other in map(solve, ends) if other is not None]
        changes = np.array([_change(pose, other) for other in found]).reshape(-1, 6)
        covariance += changes.T @ changes / max(len(found), 1)
    return covariance


def _change(pose: MetricPose, other: MetricPose) -> Array:
    """(6,), as the covariance counts it."""
    turn = (other.b_from_a.rotation * pose.b_from_a.rotation.inverse()).matrix()
    shift = other.b_from_a.translation - pose.b_from_a.translation
    return np.concatenate((Rotation.from_matrix(turn).as_rotvec(), shift))
