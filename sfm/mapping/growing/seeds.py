"""Which pairs a model may start from, and starting from one."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pycolmap

from retrieval import Pair

from ..cameras.focal_priors import with_held_intrinsics
from ..scene.bearings import bearing_vectors
from ..scene.journal import Journal
from ..scene.session import MapperSession
from ..scene.view_graph import ViewGraph
from .frames import triangulate_frame_mates

_MAX_TESTED = 80  # pairs of one component whose relative pose is estimated
_MAX_TESTED_PER_IMAGE = 8
_ENOUGH = 6  # seeds that need no relaxation: further pairs aren't tested
_MIN_POINTS = 15  # a seed that triangulates fewer points is refused
_RELAXATIONS = ((1.0, 1.0), (0.5, 0.5), (0.3, 0.25))  # factors on inliers and angle, as COLMAP relaxes them
_ANY_MOTION = len(
    _RELAXATIONS
)  # level of pairs that only have enough points at a stable angle, say straight ahead


@dataclass(frozen=True, slots=True)
class Seed:
    """A pair that a model can start from; level 0 meets the configured thresholds, higher ones relaxed."""

    pair: Pair
    num_inliers: int
    tri_angle_deg: float
    level: int
    score: float
    cam_b_from_cam_a: pycolmap.Rigid3d


def find_seeds(session: MapperSession, among: Set[str]) -> list[Seed]:
    """Seeds in `among`, best first: by level, then by inliers x angle x spread x centrality."""
    graph = session.scene.view_graph.restricted(among)
    seeds: list[Seed] = []
    for pair in _promising(graph):
        if seed := _test(session, graph, pair):
            seeds.append(seed)
        if sum(seed.level == 0 for seed in seeds) >= _ENOUGH:
            break
    return sorted(seeds, key=lambda seed: (seed.level, -seed.score, seed.pair))


def next_seed(seeds: Sequence[Seed], tried: Sequence[Seed], wanted: Set[str]) -> Seed | None:
    """The best seed unlike those tried: other images, near the `wanted` ones that no trial registered."""
    used = {name for seed in tried for name in seed.pair}
    pairs = {seed.pair for seed in tried}

    def rank(seed: Seed) -> tuple[int, float, Pair]:
        new = sum(name not in used for name in seed.pair) / 2
        near = sum(name in wanted for name in seed.pair) / 2
        return seed.level, -seed.score * (0.25 + new) * (1 + near), seed.pair

    return min((seed for seed in seeds if seed.pair not in pairs), key=rank, default=None)


def initialise(session: MapperSession, seed: Seed, journal: Journal) -> bool:
    """Start the model from `seed`; False leaves it unusable, to be thrown away."""
    options, rec = session.options, session.reconstruction
    ids = [session.scene.id_of[name] for name in seed.pair]
    # pycolmap 4.2 misnames these arguments: positions count. It returns nothing and triangulates nothing.
    session.mapper.register_initial_image_pair(options.mapper, *ids, seed.cam_b_from_cam_a)  # type: ignore[call-arg,arg-type]
    for image_id in ids:
        session.mapper.triangulate_image(options.triangulation, image_id)
    for name in seed.pair:
        triangulate_frame_mates(session, name, journal)
    if rec.num_points3D() >= _MIN_POINTS:
        session.mapper.adjust_global_bundle(options.mapper, with_held_intrinsics(session, options.global_ba))
        rec.normalize()
        session.mapper.filter_points(options.mapper)
        session.mapper.filter_frames(options.mapper)
    accepted = session.registered >= set(seed.pair) and rec.num_points3D() >= _MIN_POINTS
    _note(session, seed, accepted, journal)
    return accepted


def _note(session: MapperSession, seed: Seed, accepted: bool, journal: Journal) -> None:
    journal.note(
        "seed",
        a=seed.pair.a,
        b=seed.pair.b,
        num_inliers=seed.num_inliers,
        tri_angle_deg=round(seed.tri_angle_deg, 2),
        accepted=accepted,
        why=f"{session.reconstruction.num_points3D()} points, thresholds relaxed {seed.level} times",
    )
    for name in seed.pair if accepted else ():
        num = session.reconstruction.image(session.scene.id_of[name]).num_points3D
        journal.note("registered", name=name, how="seed", num_visible=seed.num_inliers, num_inliers=num)


def _promising(graph: ViewGraph) -> Iterator[Pair]:
    """Edges worth testing, best first by their two-view geometry, with a limit for each image."""
    usable = (p for p, edge in graph.edges.items() if edge.config not in ("panoramic", "watermark"))
    ranked = sorted(usable, key=lambda p: (-_prior_score(graph, p), p))
    count: dict[str, int] = {}
    for pair in ranked:
        if max(count.get(pair.a, 0), count.get(pair.b, 0)) < _MAX_TESTED_PER_IMAGE:
            for name in pair:
                count[name] = count.get(name, 0) + 1
            yield pair
        if sum(count.values()) >= 2 * _MAX_TESTED:
            return


def _prior_score(graph: ViewGraph, pair: Pair) -> float:
    """Saturating in the inliers: beyond a few hundred, more of them mean a short baseline."""
    edge = graph.edges[pair]
    centrality = math.log1p(min(graph.degree(pair.a), graph.degree(pair.b)))
    planar = 0.5 if edge.config.startswith("planar") else 1.0
    return min(1.0, edge.num_inliers / 300) * math.sqrt(edge.spread) * centrality * planar


def _test(session: MapperSession, graph: ViewGraph, pair: Pair) -> Seed | None:
    id_a, id_b = (session.scene.id_of[name] for name in pair)
    options = session.options.mapper
    if session.scene.cache.image(id_a).frame_id == session.scene.cache.image(id_b).frame_id:
        return None  # cameras of one rig do not show its motion
    pose = session.mapper.estimate_initial_two_view_geometry(_lenient(options), id_a, id_b)
    if pose is None:
        return None
    angles = _angles_deg(session, id_a, id_b, pose)
    angle, num_stable = float(np.median(angles)), np.count_nonzero(angles >= options.filter_min_tri_angle)
    num_inliers = graph.edges[pair].num_inliers
    level = _level(options, num_inliers, angle, pose)
    if level == _ANY_MOTION and num_stable < _RELAXATIONS[-1][0] * options.init_min_num_inliers:
        return None
    score = _prior_score(graph, pair) * min(1.0, angle / 16) * num_stable / len(angles)
    return Seed(pair, num_inliers, angle, level, float(score), pose)


def _lenient(options: pycolmap.IncrementalMapperOptions) -> pycolmap.IncrementalMapperOptions:
    """Options that let every pair pass that has any level."""
    lenient = copy.copy(options)
    lenient.init_min_num_inliers = math.ceil(_RELAXATIONS[-1][0] * options.init_min_num_inliers)
    lenient.init_min_tri_angle = 0.1
    lenient.init_max_forward_motion = 1.0
    return lenient


def _level(
    options: pycolmap.IncrementalMapperOptions, num_inliers: int, angle_deg: float, pose: pycolmap.Rigid3d
) -> int:
    enough = num_inliers / options.init_min_num_inliers
    wide = angle_deg / options.init_min_tri_angle
    forward = abs(pose.translation[2]) / np.linalg.norm(pose.translation)
    if forward < options.init_max_forward_motion:
        for level, (inliers, angle) in enumerate(_RELAXATIONS):
            if enough >= inliers and wide >= angle:
                return level
    return _ANY_MOTION


def _angles_deg(
    session: MapperSession, id_a: int, id_b: int, b_from_a: pycolmap.Rigid3d
) -> npt.NDArray[np.float64]:
    """Angle between the two rays of each inlier, degrees, (N,)."""
    matches = session.scene.cache.correspondence_graph.extract_matches_between_images(id_a, id_b)
    rays_a, rays_b = _rays(session, id_a, matches[:, 0]), _rays(session, id_b, matches[:, 1])
    cosine = np.sum((rays_a @ b_from_a.rotation.matrix().T) * rays_b, axis=1)
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


def _rays(session: MapperSession, image_id: int, indices: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
    """Unit bearing vectors in the camera frame, (N, 3)."""
    camera = session.scene.cache.camera(session.scene.cache.image(image_id).camera_id)
    rays = bearing_vectors(session.scene.keypoints(image_id)[indices], camera)
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))
