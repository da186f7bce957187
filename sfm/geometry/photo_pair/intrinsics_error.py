"""What uncertain intrinsics add to the covariance of a pose: that of the poses by others as likely."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy.spatial.transform import Rotation

from .values import Array, MetricPose, PairObservations


def intrinsics_covariance(
    pose: MetricPose,
    others: Iterable[PairObservations],
    solve: Callable[[PairObservations], MetricPose | None],
) -> Array:
    """Covariance (6, 6), as `MetricPose.covariance`, from independent errors of intrinsics; 0 where none is.

    Args:
        pose: by the intrinsics as they are.
        others: the same matches by cameras that differ in one parameter each, by its standard deviation.
        solve: finds a pose as `pose` was found. Cameras by which it finds none add nothing.
    """
    covariance = np.zeros((6, 6))
    for other in map(solve, others):
        if other is not None:
            turn = (other.b_from_a.rotation * pose.b_from_a.rotation.inverse()).matrix()
            shift = other.b_from_a.translation - pose.b_from_a.translation
            change = np.concatenate((Rotation.from_matrix(turn).as_rotvec(), shift))
            covariance += np.outer(change, change)
    return covariance
