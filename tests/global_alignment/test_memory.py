"""Memory of sparse global alignment grows no faster than the number of photos."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sfm.config.schema import AlignmentConfig
from sfm.global_alignment.sparse.optimise import align
from sfm.global_alignment.sparse.problem import AlignedPair, AlignmentProblem, Anchored, View

PHOTOS, PAIRS, MATCHES = (50, 100, 200), 10, 3000
_SIZE = (512, 384)


def _side(chance: np.random.Generator, count: int) -> Anchored:
    pixels = np.column_stack([chance.integers(0, end, count) for end in _SIZE]).astype(np.int64)
    blocks = pixels[:, 1] // 8 * (_SIZE[0] // 8) + pixels[:, 0] // 8
    return Anchored(pixels, blocks, chance.uniform(0.95, 1.05, count))


def measured(photos: int) -> float:
    """Peak resident memory of a few steps above that of the problem, MB."""
    chance = np.random.default_rng(0)
    middle = (_SIZE[0] / 2, _SIZE[1] / 2)
    views = [View(_SIZE, chance.uniform(3, 5, (48, 64)), 450.0, middle) for _ in range(photos)]
    pairs = []
    for first in range(photos):
        for step in range(1, PAIRS // 2 + 1):
            count = int(chance.integers(0.8 * MATCHES, 1.2 * MATCHES))
            ends = sorted((first, (first + step) % photos))
            sides = _side(chance, count), _side(chance, count)
            pairs.append(AlignedPair(*ends, *sides, chance.uniform(1.001, 10, count)))
    problem = AlignmentProblem(tuple(views), tuple(pairs))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _status("VmRSS")
    align(problem, AlignmentConfig(niter1=2, niter2=2))
    return _status("VmHWM") - before


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read from Linux's /proc")
def test_memory_grows_no_faster_than_the_number_of_photos() -> None:
    peaks = []
    for photos in PHOTOS:
        words = [sys.executable, "-m", "tests.global_alignment.test_memory", str(photos)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=True)
        peaks.append(float(done.stdout))
        print(f"{photos} photos: {peaks[-1]:.0f} MB")

    for (few, small), (many, large) in pairwise(zip(PHOTOS, peaks, strict=True)):
        assert np.log(large / small) / np.log(many / few) <= 1.1


if __name__ == "__main__":
    print(measured(int(sys.argv[1])))
