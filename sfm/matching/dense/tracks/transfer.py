"""Carrying the keypoints of one photo over to another: matched to what is there, or appended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .local_affine import AffineField, Array, Mask, Prediction
from .neighbours import nearest_within
from .snapping import snap_keypoints, unoccupied
from .track_table import Rows, TrackTable


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """Lengths in network px of the photo that is carried to."""

    merge_radius: float
    """A keypoint this near to where another lands is the same one."""
    edge_tolerance: float
    """How far two keypoints of one track may be from the field's prediction and still be matched."""
    snap_radius: float
    """How far an observation of a corner is moved to reach a corner."""


@dataclass(frozen=True, slots=True)
class Target:
    """The photo that keypoints are carried to."""

    photo: int
    bounds: Array
    """(2, 2) least and largest position; nothing is appended outside."""
    corners: Array
    """(C, 2) corners that a detector found; may be empty."""
    room: int
    """Keypoints that it may still gain."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Measured links between two keypoints of a track, network px; Jacobian and deviation as predicted."""

    source: Rows
    """(E,) rows of the track table."""
    target: Rows
    """(E,)."""
    xy: Array
    """(E, 2) where the field carries the source's position as it was."""
    jacobian: Array
    """(E, 2, 2)."""
    sigma: Array
    """(E,)."""
    confidence: Array
    """(E,)."""

    def __len__(self) -> int:
        return len(self.source)

    def select(self, rows: Rows | Mask) -> Edges:
        """Some of them."""
        return Edges(
            self.source[rows],
            self.target[rows],
            self.xy[rows],
            self.jacobian[rows],
            self.sigma[rows],
            self.confidence[rows],
        )

    @staticmethod
    def joined(parts: list[Edges]) -> Edges:
        """One after another."""
        if not parts:
            no_rows, nothing = np.zeros(0, np.int64), np.zeros(0, np.float32)
            return Edges(
                no_rows,
                no_rows,
                np.zeros((0, 2), np.float32),
                np.zeros((0, 2, 2), np.float32),
                nothing,
                nothing,
            )
        columns = zip(
            *((p.source, p.target, p.xy, p.jacobian, p.sigma, p.confidence) for p in parts), strict=True
        )
        return Edges(*(np.concatenate(column) for column in columns))


def transfer(
    table: TrackTable, rows: Rows, field: AffineField, to: Target, options: TransferOptions
) -> Edges:
    """Transfer keypoints `rows` of one photo to another, whose tracks and keypoints grow in `table`.

    A keypoint whose track is there already is matched to it if the field agrees. Otherwise it is matched to a
    keypoint at most `merge_radius` away, both tracks becoming one, or appended at the predicted position.
    """
    predicted = field.predict(table.xy[rows])
    inside = np.all((predicted.xy >= to.bounds[0]) & (predicted.xy <= to.bounds[1]), axis=1)
    keep = np.flatnonzero(predicted.valid & inside)
    rows, predicted = rows[keep], predicted.select(keep)
    target = _of_same_track(table, rows, to.photo)
    strange = np.flatnonzero(target < 0)
    target[strange], crowded = _joined(table, rows[strange], predicted.xy[strange], to.photo, options)
    fresh = strange[(target[strange] < 0) & ~crowded]
    fresh = _thinned(fresh, predicted, options.merge_radius)[: to.room]
    target[fresh] = _appended(table, rows[fresh], predicted.xy[fresh], to, options)
    linked = np.flatnonzero(target >= 0)
    predicted = predicted.select(linked)
    return Edges(
        rows[linked], target[linked], predicted.xy, predicted.jacobian, predicted.sigma, predicted.confidence
    )


def _of_same_track(table: TrackTable, rows: Rows, photo: int) -> Rows:
    """(m,) the keypoint in `photo` of the track of each row, -1 for none."""
    there = table.of_photo(photo)
    if len(there) == 0:
        return np.full(len(rows), -1)
    there = there[np.argsort(table.track[there])]
    tracks = table.track[there]
    place = np.minimum(np.searchsorted(tracks, table.track[rows]), len(there) - 1)
    return np.where(tracks[place] == table.track[rows], there[place], -1)


def _joined(
    table: TrackTable, rows: Rows, xy: Array, photo: int, options: TransferOptions
) -> tuple[Rows, Mask]:
    """Join tracks of `rows` with those of keypoints where they land.

    Returns:
        (m,) the keypoint whose track each joined, -1 for none; and (m,) whether one is too near to append
        another.
    """
    target, there = np.full(len(rows), -1), table.of_photo(photo)
    distance, nearest = nearest_within(table.xy[there], xy, options.merge_radius)
    crowded = np.isfinite(distance)
    near = np.flatnonzero(crowded)
    # Positions that may move end where both tracks want them; a discrepancy between given ones would stay.
    rigid = near[distance[near] > options.merge_radius / 2]
    rigid = rigid[table.any_frozen(rows[rigid])]
    rigid = rigid[table.any_frozen(there[nearest[rigid]])]
    crowded[rigid] = False
    near = near[crowded[near]]
    near = near[np.argsort(distance[near], kind="stable")]
    near = near[np.unique(nearest[near], return_index=True)[1]]
    near = near[table.join(rows[near], there[nearest[near]])]
    target[near] = there[nearest[near]]
    return target, crowded


def _appended(table: TrackTable, rows: Rows, xy: Array, to: Target, options: TransferOptions) -> Rows:
    """New observations of the tracks of `rows`, those of corners on corners."""
    corner = np.flatnonzero(table.snapped[rows])
    free = unoccupied(to.corners, table.xy[table.of_photo(to.photo)], options.merge_radius)
    xy[corner], snapped = snap_keypoints(xy[corner], free, options.snap_radius)
    added = table.add_observations(to.photo, xy, rows)
    table.mark_snapped(added[corner[snapped]])
    return added


def _thinned(fresh: Rows, predicted: Prediction, spacing: float) -> Rows:
    """At most one of `fresh` per square of side `spacing`, most confident first."""
    fresh = fresh[np.argsort(-predicted.confidence[fresh], kind="stable")]
    column, row = np.floor(predicted.xy[fresh] / spacing).astype(np.int64).T
    return fresh[np.sort(np.unique((row << 32) + column, return_index=True)[1])]
