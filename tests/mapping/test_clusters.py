"""Clusters mapped by processes of their own: as by one process, whatever happens to these."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sfm.mapping import MappingResult

from . import synthetic
from .chain import NUM_PHOTOS, window
from .running import Counted, Recorder, names, poses, run

linux_only = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


def side_by_side(
    database: Path, events: Recorder, *, processes: int = 2, progress: Counted | None = None
) -> MappingResult:
    scratch = database.parent / "scratch"
    return run(
        database, events=events, progress=progress, scratch=scratch, processes=processes, cluster_size=25
    )


@pytest.fixture(scope="module")
def joined(chain: synthetic.Scene) -> tuple[MappingResult, Recorder]:
    events, progress = Recorder(), Counted()
    result = side_by_side(chain.database, events, progress=progress)
    assert progress.count == NUM_PHOTOS  # photos are counted while processes register them
    return result, events


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


def test_nothing_is_left_in_the_scratch_folder(
    chain: synthetic.Scene, joined: tuple[MappingResult, Recorder]
) -> None:
    assert list((chain.database.parent / "scratch").iterdir()) == []


def test_small_collections_are_mapped_in_one_piece(chain: synthetic.Scene) -> None:
    events = Recorder()

    run(chain.database, events=events, processes=2, cluster_size=26)

    assert events.of("cluster") == []


def test_two_components_become_two_models(tmp_path: Path, chain: synthetic.Scene) -> None:
    apart = window(26, 5) | window(24, 5, first=27)
    database = synthetic.keep_pairs(chain.database.parent / "all.db", tmp_path / "apart.db", apart)
    events = Recorder()

    result = side_by_side(database, events)

    assert [model.num_reg_images() for model in result.models] == [26, 24]
    assert len(events.of("cluster")) == 2
    assert all(synthetic.max_rotation_error_deg(model, chain.truth) < 0.3 for model in result.models)


def children(parent: int) -> Iterator[int]:
    """Processes that a process has started."""
    for task in Path(f"/proc/{parent}/task").iterdir():
        with suppress(OSError):  # the thread has ended meanwhile
            yield from map(int, (task / "children").read_text(encoding="ascii").split())


@linux_only
def test_models_depend_neither_on_how_many_processes_there_are_nor_on_one_that_is_killed(
    chain: synthetic.Scene, joined: tuple[MappingResult, Recorder]
) -> None:
    events = Recorder()
    killed: list[int] = []
    others = set(children(os.getpid()))  # of other tests

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            killed.extend(sorted(set(children(os.getpid())) - others)[:1])
            time.sleep(0.01)
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    result = side_by_side(chain.database, events, processes=5)
    killer.join()

    failures = sorted(str(cluster["failure"]) for cluster in events.of("cluster"))
    assert failures == ["", "killed by signal 9"]
    first, second = poses(joined[0]), poses(result)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


_SCRIPT = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell inherit SIG_IGN
import sfm
from sfm.config.loading import load_config
options = ["register.processes=2", "internal.register.cluster_size=25", "run.threads=1"]
options += ["export.report=false"]
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
