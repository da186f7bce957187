"""Which version of a kernel runs, and what happens without Triton."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernels import dispatch
from kernels.dispatch import VARIABLE, backend_for, use_backend

ROOT = Path(__file__).resolve().parents[2]
X = torch.zeros(1)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Triton were installed, with its interpreter."""
    monkeypatch.setattr(dispatch, "has_triton", lambda: True)
    monkeypatch.setenv("TRITON_INTERPRET", "1")


def test_tensors_on_the_cpu_are_torchs() -> None:
    assert backend_for(X) == "torch"


@pytest.mark.usefixtures("interpreted")
def test_the_variable_decides_and_a_block_overrides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "triton")

    assert backend_for(X) == "triton"
    with use_backend("torch"):
        with use_backend("triton"):
            assert backend_for(X) == "triton"
        assert backend_for(X) == "torch"
    assert backend_for(X) == "triton"


def test_unknown_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "cuda")

    with pytest.raises(ValueError, match="no version 'cuda'; LOOPSFM_KERNELS is torch or triton"):
        backend_for(X)


def test_triton_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with use_backend("triton"):
        monkeypatch.setattr(dispatch, "has_triton", lambda: True)
        with pytest.raises(RuntimeError, match=r"cannot run on cpu; set TRITON_INTERPRET=1"):
            backend_for(X)
        monkeypatch.setattr(dispatch, "has_triton", lambda: False)
        with pytest.raises(RuntimeError, match=r"pip install 'loopsfm\[kernels\]'"):
            backend_for(X)


def test_everything_but_the_fused_versions_works_without_triton() -> None:
    """Its import fails here, as where it isn't installed; installed or not, nothing imports it on the CPU."""
    code = """
import sys; sys.modules["triton"] = None
import torch
import kernels, kernels.dispatch
from kernels.nearest import nearest
from kernels.reciprocal import DescriptorPair
from kernels.rope2d import rope2d
assert not kernels.dispatch.has_triton()
nearest(torch.ones(2, 3), torch.ones(4, 3))
DescriptorPair(torch.ones(2, 2, 3), torch.ones(2, 2, 3)).from_grid(1)
print(rope2d(torch.ones(1, 1, 2, 4), torch.zeros(1, 2, 2, dtype=int)).shape)
"""

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert out.stdout.strip() == "torch.Size([1, 1, 2, 4])", out.stderr


def test_compiled_kernels_run_as_forced_or_where_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "has_numba", lambda: True)
    assert dispatch.compiles(True)
    assert not dispatch.compiles(False)
    with use_backend("torch"):
        assert not dispatch.compiles(True)
    with use_backend("triton"):
        assert dispatch.compiles(False)

    monkeypatch.setenv(VARIABLE, "torch")
    assert not dispatch.compiles(True)
    monkeypatch.setenv(VARIABLE, "fortran")
    with pytest.raises(ValueError, match="fortran"):
        dispatch.compiles(True)


def test_the_index_needs_neither_torch_nor_numba_to_start() -> None:
    code = """
import sys
import retrieval.index
print({"torch", "numba"} & set(sys.modules))
"""

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert out.stdout.strip() == "set()", out.stderr
