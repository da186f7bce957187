"""Fixtures and rules that every test may rely on."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tests.faults.killing import Killer, killer

MakeOnce = Callable[[str, Callable[[Path], object]], Path]

# Tests run side by side: one thread each, in processes that they start as well. Read when libraries are
# imported, which happens later.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

# Processes that tests start share what the first of them has compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A busy machine is no failure. The same examples each time, so that a clean clone fails for what changed in
# it; `make test-search` looks for new ones.
settings.register_profile("loopsfm", deadline=None, derandomize=True, max_examples=25)
settings.register_profile("search", deadline=None, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "loopsfm"))

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photo collections; tests that use it are marked `shared`."""
    shared = Path(os.environ.get("LOOPSFM_SHARED", ROOT.parent / "shared"))
    data = shared / "data"
    if not data.is_dir():
        pytest.skip(f"no photo collections at {data} (set LOOPSFM_SHARED to the folder that holds data/)")
    return data


@pytest.fixture(scope="session")
def shared_parity(shared_data: Path) -> Path:
    """The whole collection of parity fixtures; the parity bench can be imported."""
    folder, bench = shared_data.parent / "parity", str(ROOT / "tools" / "bench")
    if not folder.is_dir():
        pytest.skip(f"no parity fixtures at {folder}")
    sys.path[:0] = [] if bench in sys.path else [bench]
    return folder


@pytest.fixture(scope="session")
def demo_data() -> Path:
    """The rendered demo scene: `images/` and `gt.json`."""
    return ROOT / "data" / "demo"


@pytest.fixture(scope="session")
def make_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """A folder of this name, filled once for all processes that run tests; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], object]) -> Path:
        return _filled(shared / "made once" / name, make)

    return made


def _filled(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, whole or not there."""
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder


@pytest.fixture(scope="session")
def kill() -> Iterator[Killer]:
    """A process that has all of the command loaded, and runs it until it is stopped."""
    with killer() as one:
        yield one


@pytest.fixture(scope="session", autouse=True)
def _no_hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep weights out that this machine's user has fetched with the hub's tools."""
    with pytest.MonkeyPatch.context() as patch:
        empty = str(tmp_path_factory.getbasetemp() / "no hub cache")
        patch.setenv("HF_HUB_CACHE", empty)
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", empty)  # read when it was imported
        yield


@pytest.fixture(scope="session", autouse=True)
def _quiet_colmap() -> None:
    """Keep COLMAP's info and warning lines out of test output."""
    import pycolmap

    pycolmap.logging.minloglevel = 2


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> Iterator[None]:
    """Runs in this process take one thread unless they are told otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
        yield


def pytest_runtest_setup() -> None:
    """One thread for torch, whatever an earlier test gave it: more make its small products slow."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """Keep what is imported by now out of garbage collections, which take half a second each with it."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip `gpu` tests where there is none."""
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
