"""Benches whose device is missing say so and exit with 3."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize(
    "words", [("studies.pair_cost",), ("parity.compare", "nowhere")], ids=lambda words: words[0]
)
def test_a_missing_device_is_one_line(words: tuple[str, ...]) -> None:
    command = [sys.executable, str(BENCH), *words, "--device", "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    assert "no device cuda here" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout
