"""Clusters mapped by processes of their own and joined: as by one process, whatever happens to these."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import fields
from pathlib import Path

import numpy as np
import pycolmap
import pytest

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping import MappingResult, reconstruct
from sfm.mapping.clusters.bridging import bridged_models
from sfm.mapping.clusters.joining import join_models
from sfm.mapping.clusters.seams import shared_points
from sfm.mapping.depth.keypoint_depth import KeypointDepth
from sfm.mapping.journal import Journal
from sfm.mapping.options import mapper_options, with_threads
from sfm.mapping.part_database import write_part
from sfm.mapping.scene import Scene
from sfm.mapping.trials import Trial, Workbench, best_model
from sfm.progress import SilentProgress

from . import synthetic
from .test_registrar import Recorder, names, poses

NUM_PHOTOS = 50
SIDE_BY_SIDE: dict[str, object] = {"processes": 2, "cluster_size": 25}
linux_only = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


def run(database: Path, *, events: Recorder | None = None, **options: object) -> MappingResult:
    return reconstruct(
        database,
        config=RegisterConfig(**options),  # type: ignore[arg-type]
        refine=RefineConfig(),
        threads=1,
        seed=0,
        events=events or Recorder(),
        progress=SilentProgress(),
        scratch=database.parent / "scratch",
    )


def window(num_images: int, reach: int, first: int = 1) -> set[tuple[int, int]]:
    last = first + num_images
    return {(i, j) for i in range(first, last) for j in range(i + 1, min(i + reach, last - 1) + 1)}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Scene:
    """Photos of which each is paired with the next five."""
    folder = tmp_path_factory.mktemp("chain")
    scene = synthetic.synthesize(folder / "all.db", num_images=NUM_PHOTOS, num_points=200)
    path = synthetic.keep_pairs(scene.database, folder / "chain.db", window(NUM_PHOTOS, 5))
    return synthetic.Scene(path, scene.truth)


@pytest.fixture(scope="module")
def joined(chain: synthetic.Scene) -> tuple[MappingResult, Recorder]:
    events = Recorder()
    return run(chain.database, events=events, **SIDE_BY_SIDE), events


def test_two_processes_give_the_model_of_one(
    chain: synthetic.Scene, joined: tuple[MappingResult, Recorder]
) -> None:
    (alone,) = run(chain.database, processes=1).models

    (model,) = joined[0].models

    assert names(model) == names(alone)
    assert model.compute_num_observations() >= 0.99 * alone.compute_num_observations()
    assert model.compute_mean_reprojection_error() == pytest.approx(
        alone.compute_mean_reprojection_error(), rel=0.01
    )
    errors = [synthetic.max_rotation_error_deg(one, chain.truth) for one in (model, alone)]
    assert errors[0] <= errors[1] + 0.02


def test_events_tell_of_clusters_joins_and_each_photo_once(joined: tuple[MappingResult, Recorder]) -> None:
    events = joined[1]

    clusters = events.of("cluster")
    assert len(clusters) == 2
    assert [cluster["failure"] for cluster in clusters] == ["", ""]
    assert sum(int(str(cluster["num_core"])) for cluster in clusters) == NUM_PHOTOS
    (join,) = events.of("join")
    assert join["accepted"]
    registered = [event["name"] for event in events.of("registered")]
    assert len(registered) == len(set(registered)) == NUM_PHOTOS


def test_models_do_not_depend_on_how_many_processes_there_are(
    chain: synthetic.Scene, joined: tuple[MappingResult, Recorder]
) -> None:
    again = run(chain.database, processes=5, cluster_size=25)

    first, second = poses(joined[0]), poses(again)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_nothing_is_left_in_the_scratch_folder(
    chain: synthetic.Scene, joined: tuple[MappingResult, Recorder]
) -> None:
    assert list((chain.database.parent / "scratch").iterdir()) == []


def test_small_collections_are_mapped_in_one_piece(chain: synthetic.Scene) -> None:
    events = Recorder()

    run(chain.database, events=events, processes=2, cluster_size=26)

    assert events.of("cluster") == []


class Counter:
    """A progress display, and the one count that it shows."""

    def __init__(self) -> None:
        self.count = 0

    def task(self, title: str, total: int, *, unit: str = "") -> AbstractContextManager[Counter]:
        return nullcontext(self)

    def advance(self, steps: int = 1) -> None:
        self.count += steps


def test_photos_are_counted_while_processes_register_them(chain: synthetic.Scene) -> None:
    progress = Counter()

    reconstruct(
        chain.database,
        config=RegisterConfig(processes=2, cluster_size=25),
        refine=RefineConfig(),
        threads=1,
        seed=0,
        events=Recorder(),
        progress=progress,
    )

    assert progress.count == NUM_PHOTOS


def test_two_components_become_two_models(tmp_path: Path, chain: synthetic.Scene) -> None:
    apart = window(26, 5) | window(24, 5, first=27)
    database = synthetic.keep_pairs(chain.database.parent / "all.db", tmp_path / "apart.db", apart)
    events = Recorder()

    result = run(database, events=events, **SIDE_BY_SIDE)

    assert [model.num_reg_images() for model in result.models] == [26, 24]
    assert len(events.of("cluster")) == 2
    assert all(synthetic.max_rotation_error_deg(model, chain.truth) < 0.3 for model in result.models)


def children(parent: int) -> Iterator[int]:
    """Processes that a process has started."""
    for task in Path(f"/proc/{parent}/task").iterdir():
        with suppress(OSError):  # the thread has ended meanwhile
            yield from map(int, (task / "children").read_text(encoding="ascii").split())


@linux_only
def test_the_cluster_of_a_process_that_is_killed_is_mapped_nevertheless(
    chain: synthetic.Scene, joined: tuple[MappingResult, Recorder]
) -> None:
    events = Recorder()
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            killed.extend(sorted(children(os.getpid()))[:1])
            time.sleep(0.01)
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    result = run(chain.database, events=events, **SIDE_BY_SIDE)
    killer.join()

    failures = sorted(str(cluster["failure"]) for cluster in events.of("cluster"))
    assert failures == ["", "killed by signal 9"]
    first, second = poses(joined[0]), poses(result)
    assert all(np.array_equal(first[name], second[name]) for name in first)


_SCRIPT = """
import sys
from pathlib import Path
import sfm
from sfm.config.loading import load_config
options = ["register.processes=2", "register.cluster_size=25", "run.threads=1", "export.report=false"]
print(sfm.map_database(Path(sys.argv[1]), output=sys.argv[2], config=load_config(overrides=options)).models)
"""


@linux_only
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(
    how: signal.Signals, chain: synthetic.Scene, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(chain.database), str(tmp_path / "out")]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers: set[int] = set()
    deadline = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < deadline:
        workers = set(children(parent.pid))
        time.sleep(0.01)

    parent.send_signal(how)

    assert parent.wait(30) != 0
    assert len(workers) == 2
    while any(is_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_alive(pid) for pid in workers)
    if how is signal.SIGINT:
        assert not (tmp_path / "out" / "cache" / "clusters").exists()


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def workbench(database: Path) -> Workbench:
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)
    return Workbench(Scene.open(database), options, lambda _: None)


def parts(bench: Workbench, *ranges: range) -> list[Trial]:
    """A model of the photos with these ids each."""
    found = []
    for ids in ranges:
        trial = best_model(bench, {bench.scene.name_of[i] for i in ids}, Journal(), max_trials=1)
        assert trial is not None
        assert len(trial.names) == len(ids)
        found.append(trial)
    return found


def test_joined_models_share_their_photos_and_points(chain: synthetic.Scene) -> None:
    bench = workbench(chain.database)
    first, second = parts(bench, range(1, 29), range(23, 51))
    same = shared_points(first.reconstruction, second.reconstruction)
    total = first.reconstruction.num_points3D() + second.reconstruction.num_points3D()
    journal = Journal()

    (whole,) = join_models(bench, [first, second], journal)

    assert len(whole.names) == NUM_PHOTOS
    assert len(same) > 50
    assert whole.reconstruction.num_points3D() <= total - 0.9 * len(same)
    assert synthetic.max_rotation_error_deg(whole.reconstruction, chain.truth) < 0.3


def test_no_point_is_shared_twice(chain: synthetic.Scene) -> None:
    bench = workbench(chain.database)
    first, second = parts(bench, range(1, 29), range(23, 51))

    same = shared_points(first.reconstruction, second.reconstruction)

    assert len(set(same[:, 0].tolist())) == len(set(same[:, 1].tolist())) == len(same)


def test_models_that_share_too_little_stay_apart_without_repeated_photos(chain: synthetic.Scene) -> None:
    bench = workbench(chain.database)
    bent = parts(bench, range(1, 29), range(23, 51))
    rng = np.random.default_rng(0)
    for point in bent[1].reconstruction.points3D.values():
        point.xyz = point.xyz + rng.normal(scale=3.0, size=3)

    models = join_models(bench, bent, journal := Journal())

    assert [fields["accepted"] for event, fields in journal.entries if event == "join"] == [False]
    assert sorted(len(model.names) for model in models) == [22, 28]
    assert not models[0].names & models[1].names


def test_a_join_that_the_verified_pairs_contradict_is_taken_back(
    tmp_path: Path, chain: synthetic.Scene
) -> None:
    """Both halves fit where they share photos, but pairs of their other photos say something else."""
    database = synthetic.keep_pairs(chain.database, tmp_path / "against.db", window(NUM_PHOTOS, 5))
    with (
        pycolmap.Database.open(chain.database.parent / "all.db") as source,
        pycolmap.Database.open(database) as db,
    ):
        for i, j in [(i, j) for i in range(1, 10) for j in range(40, 46)]:
            geometry = source.read_two_view_geometry(i, j)
            geometry.inlier_matches = synthetic.shuffled(geometry.inlier_matches)
            db.write_two_view_geometry(i, j, geometry)
    bench = workbench(database)

    models = join_models(bench, parts(bench, range(1, 29), range(23, 51)), journal := Journal())

    assert [fields["accepted"] for event, fields in journal.entries if event == "join"] == [True, False]
    assert sorted(len(model.names) for model in models) == [22, 28]


def test_a_gap_is_bridged_by_a_model_of_the_photos_around_it(chain: synthetic.Scene) -> None:
    bench = workbench(chain.database)
    models = parts(bench, range(1, 41), range(41, 51))
    journal = Journal()

    found = bridged_models(bench, models, set(bench.scene.id_of), journal)

    assert [len(model.names) for model in found] == [NUM_PHOTOS]
    assert synthetic.max_rotation_error_deg(found[0].reconstruction, chain.truth) < 0.3
    assert [len(model.names) for model in models] == [40, 10]
    assert [fields["accepted"] for event, fields in journal.entries if event == "join"] == [True, True]


def test_nothing_is_bridged_where_nothing_is_missing(chain: synthetic.Scene) -> None:
    bench = workbench(chain.database)
    models = parts(bench, range(1, 41))

    found = bridged_models(bench, models, set(models[0].names), Journal())

    assert found == models


def test_part_of_a_scene_is_read_back_as_it_was(chain: synthetic.Scene, tmp_path: Path) -> None:
    pairs = window(NUM_PHOTOS, 5)
    whole = Scene.open(chain.database)
    gone = Pair.of(whole.name_of[3], whole.name_of[4])
    scene = whole.without({gone})
    chosen = {scene.name_of[i] for i in range(1, 21)}
    camera = scene.cache.camera(1)
    camera.params = [1234.0, *list(camera.params)[1:]]

    write_part(scene, chosen, tmp_path / "part.db")

    part = Scene.open(tmp_path / "part.db")
    assert set(part.id_of) == chosen
    assert len(part.view_graph) == sum(j <= 20 for _, j in pairs) - 1
    assert gone not in part.view_graph
    assert part.cache.camera(1).params[0] == 1234.0
    for pair, edge in part.view_graph.edges.items():
        ids = [scene.id_of[name] for name in pair]
        assert [part.id_of[name] for name in pair] == ids
        assert edge.num_inliers == scene.view_graph.edges[pair].num_inliers
        assert np.array_equal(
            part.cache.correspondence_graph.extract_matches_between_images(*ids),
            scene.cache.correspondence_graph.extract_matches_between_images(*ids),
        )


def test_threads_are_all_that_changes_in_options_with_others() -> None:
    one, three = (
        mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=n, seed=4)
        for n in (1, 3)
    )

    changed = with_threads(three, 1)

    for part in fields(one):
        before, after = getattr(one, part.name), getattr(changed, part.name)
        assert str(after) == str(before)
    assert three.global_ba.ceres.solver_options.num_threads == 3


class _Plane:
    """Depth that grows with x + y, known left of x = 600 alone."""

    metric = True

    def at(self, name: str, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        depth = np.where(xy[:, 0] < 600, 1 + xy.sum(axis=1), np.nan)
        return depth, np.full(len(xy), 2.0)


def test_depth_at_keypoints_is_that_of_the_whole_source(chain: synthetic.Scene) -> None:
    scene = Scene.open(chain.database, _Plane())
    name = scene.name_of[7]
    xy = scene.keypoints(7)[::-3].astype(np.float64)

    found = KeypointDepth.of(scene, [name])

    assert found is not None
    assert found.metric
    told = found.at(name, xy)
    assert told is not None
    for got, expected in zip(told, _Plane().at(name, xy), strict=True):
        assert np.array_equal(got, expected, equal_nan=True)
    elsewhere = found.at(name, xy + 0.25)
    assert elsewhere is not None
    assert np.isnan(elsewhere[0]).all()
    assert found.at(scene.name_of[8], xy) is None
