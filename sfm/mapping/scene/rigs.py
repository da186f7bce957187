"""Rigs of several cameras."""

from __future__ import annotations

from collections.abc import Iterable

import pycolmap


def cameras_of_rigs(rigs: Iterable[pycolmap.Rig]) -> set[int]:
    """Ids of the cameras of those rigs that have several; COLMAP gives each other camera a rig of its own."""
    return {sensor.id for rig in rigs if rig.num_sensors() > 1 for sensor in rig.sensor_ids()}
