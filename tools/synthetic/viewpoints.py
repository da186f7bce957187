"""Where the photographer stands and looks."""

from collections.abc import Sequence

import numpy as np

from .camera import Pose, look_at
from .quads import Array, random_for


def ring(count: int, half_size_m: tuple[float, float], *, seed: int = 0) -> list[Pose]:
    """Views across the square from an ellipse 2.5 m off the houses, heights and headings jittered."""
    rng = random_for(seed, "ring")
    reach = np.array(half_size_m) - 2.5
    poses = []
    for angle in 2 * np.pi * np.arange(count) / count:
        spot = reach * [np.cos(angle), np.sin(angle)] * rng.uniform(0.92, 1.0)
        eye = np.array([*spot, rng.uniform(1.4, 2.4)])
        target = np.array([*(-0.55 * spot + rng.uniform(-1.2, 1.2, 2)), rng.uniform(1.4, 2.6)])
        poses.append(look_at(eye, target))
    return poses


def overview(count: int, half_size_m: tuple[float, float], *, seed: int = 0) -> list[Pose]:
    """Views from half-way out towards the nearer houses, as if to photograph the shops."""
    rng = random_for(seed, "overview")
    half = np.array(half_size_m)
    poses = []
    for angle in 2 * np.pi * (np.arange(count) + 0.5) / count:
        direction = np.array([np.cos(angle), np.sin(angle)])
        eye = np.array([*(0.42 * half * direction), rng.uniform(1.5, 1.9)])
        poses.append(look_at(eye, np.array([*(half * direction), rng.uniform(2.2, 2.8)])))
    return poses


def walk(count: int, half_size_m: tuple[float, float], *, seed: int = 0) -> list[Pose]:
    """Once round the rectangle, looking ahead and a little outwards: only neighbours overlap."""
    rng = random_for(seed, "walk")
    path = _rounded(half_size_m, np.arange(count) / count)
    ahead = _rounded(half_size_m, np.arange(count) / count + 0.035)
    poses = []
    for spot, goal in zip(path, ahead, strict=True):
        eye = np.array([*(spot + rng.uniform(-0.4, 0.4, 2)), rng.uniform(1.5, 1.9)])
        outwards = 0.25 * spot / np.linalg.norm(spot)
        poses.append(look_at(eye, np.array([*(goal + outwards * rng.uniform(-2, 4)), rng.uniform(1.7, 2.6)])))
    return poses


def tour(
    at_m: Array,
    corners: Array,
    *,
    seed: int = 0,
    name: str = "tour",
    ahead_m: float = 5.0,
    glance_m: float = 2.5,
    sway_m: float = 0.4,
    sweep_m: float = 0.0,
) -> list[Pose]:
    """From so many metres along a path with these corners (N, 2), looking ahead and to both sides.

    Of the way aside, `ahead_m` in front, `glance_m` is by chance; `sweep_m` goes from left to right and back
    within ten photos.
    """
    rng = random_for(seed, name)
    poses = []
    sweep = sweep_m * np.sin(2 * np.pi * np.arange(len(at_m)) / 10)
    ways = zip(_on_path(corners, at_m), _on_path(corners, at_m + ahead_m), sweep, strict=True)
    for spot, goal, swept in ways:
        ahead = (goal - spot) / np.linalg.norm(goal - spot)
        aim = goal + (swept + rng.uniform(-glance_m, glance_m)) * np.array([-ahead[1], ahead[0]])
        eye = np.array([*(spot + rng.uniform(-sway_m, sway_m, 2)), rng.uniform(1.5, 1.9)])
        poses.append(look_at(eye, np.array([*aim, rng.uniform(1.7, 2.6)])))
    return poses


def stroll(count: int, step_m: float, distance_m: float, *, seed: int = 0) -> list[Pose]:
    """Along a front on the x axis, facing it, from left to right; hardly any chance in it."""
    rng = random_for(seed, "stroll")
    poses = []
    for x in step_m * (np.arange(count) - (count - 1) / 2):
        eye = np.array(
            [x + rng.uniform(-0.1, 0.1), -distance_m * rng.uniform(0.95, 1.05), rng.uniform(1.5, 1.9)]
        )
        turn = np.radians(rng.uniform(-1.5, 1.5))
        aim = [distance_m * np.sin(turn), distance_m * np.cos(turn), rng.uniform(0.2, 0.8)]
        poses.append(look_at(eye, eye + aim))
    return poses


def pan(count: int, spot: tuple[float, float], *, seed: int = 0) -> list[Pose]:
    """Once round on the spot: every photo from the very same point."""
    rng = random_for(seed, "pan")
    eye = np.array([*spot, 1.7])
    poses = []
    for angle in 2 * np.pi * np.arange(count) / count:
        aim = [10 * np.cos(angle), 10 * np.sin(angle), rng.uniform(-0.8, 1.2)]
        poses.append(look_at(eye, eye + aim))
    return poses


def panned(stops: Sequence[Pose], count: int, *, seed: int = 0) -> list[Pose]:
    """From each stop so many photos of a turn through 120 degrees, to and fro, held by hand."""
    rng = random_for(seed, "panned")
    poses = []
    for number, stop in enumerate(stops):
        heading = np.arctan2(stop.rotation[2, 1], stop.rotation[2, 0])
        sweep = np.radians(np.linspace(-60, 60, count))[:: 1 - 2 * (number % 2)]
        for angle in heading + sweep + rng.normal(0, np.radians(1.0), count):
            aim = [10 * np.cos(angle), 10 * np.sin(angle), rng.uniform(-0.3, 0.8)]
            held = stop.centre + rng.normal(0, 0.03, 3)
            poses.append(look_at(held, held + aim))
    return poses


def flight(count: int, half_size_m: tuple[float, float], height_m: float, *, seed: int = 0) -> list[Pose]:
    """Straight down from one height, line after line, there and back; within a degree or two of plumb."""
    rng = random_for(seed, "flight")
    lines = max(1, round(np.sqrt(count * half_size_m[1] / half_size_m[0])))
    poses: list[Pose] = []
    for line in range(lines):
        num = count // lines + (line < count % lines)
        along = half_size_m[0] * np.linspace(-1, 1, num) * (1 - 1 / num)
        y = half_size_m[1] * ((2 * line + 1) / lines - 1)
        heading = np.pi * (line % 2) + np.radians(rng.uniform(-3, 3, num))
        for x, turn in zip(along[:: 1 - 2 * (line % 2)], heading, strict=True):
            eye = np.array([x, y, height_m]) + rng.normal(0, [2.0, 2.0, 0.7])
            ahead = np.array([np.cos(turn), np.sin(turn), 0.0])
            lean = np.tan(np.radians(rng.normal(0, 1.0, 2)))
            forward = np.array([lean[0], lean[1], -1.0]) / np.sqrt(1 + lean @ lean)
            right = np.cross(forward, ahead)
            right /= np.linalg.norm(right)
            rotation = np.stack([right, np.cross(forward, right), forward])
            poses.append(Pose(rotation, -rotation @ eye))
    return poses


def _rounded(half_size_m: tuple[float, float], share: Array) -> Array:
    """Points (N, 2) at these shares of the way round a rectangle."""
    x, y = half_size_m
    corner = np.array([[x, -y], [x, y], [-x, y], [-x, -y], [x, -y]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corner, axis=0), axis=1))])
    at = (share % 1.0) * along[-1]
    return np.stack([np.interp(at, along, corner[:, axis]) for axis in range(2)], axis=1)


def _on_path(corners: Array, at_m: Array) -> Array:
    """Points (N, 2) so many metres along a path, which goes straight on beyond its last corner."""
    last = corners[-1] - corners[-2]
    path = np.vstack([corners, corners[-1] + 20.0 * last / np.linalg.norm(last)])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return np.stack([np.interp(at_m, along, path[:, axis]) for axis in range(2)], axis=1)
