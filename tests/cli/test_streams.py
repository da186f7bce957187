"""A run ends with its model whoever has stopped to listen."""

import os
import subprocess
import sys
from pathlib import Path

import pycolmap
import pytest

from tests.mapping.synthetic import synthesize


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "in.db"
    return synthesize(path, num_images=4, num_points=100).database


def in_shell(redirection: str, database: Path, out: Path) -> subprocess.CompletedProcess[str]:
    words = f'"{sys.executable}" -m sfm map "{database}" -o "{out}" --threads 1 -v export.report=false'
    return subprocess.run(
        ["sh", "-c", f"{words} {redirection}"], capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.parametrize(
    "redirection", ["<&- >&- 2>&-", *(pytest.param(one, marks=pytest.mark.slow) for one in ("2>&-", ">&-"))]
)
def test_closed_streams_cost_no_model(redirection: str, database: Path, tmp_path: Path) -> None:
    done = in_shell(redirection, database, tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0").num_reg_images() == 4
    assert (tmp_path / "out" / "database.db").read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.parametrize("option", ["-v", pytest.param("--log-json", marks=pytest.mark.slow)])
def test_a_reader_that_ends_costs_no_model(option: str, database: Path, tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    words = ["map", database, "-o", tmp_path / "out", "--threads", "1", option]

    done = subprocess.run(
        [sys.executable, "-m", "sfm", *map(str, words)],
        stdout=write_end,
        stderr=write_end,
        timeout=100,
        check=False,
    )

    os.close(write_end)
    assert done.returncode == 0
    assert pycolmap.Reconstruction(tmp_path / "out" / "sparse" / "0").num_reg_images() == 4


def test_what_ctrl_c_came_just_after_is_not_written_again() -> None:
    code = """
import sys
from sfm.cli.streams import steady_streams

def stop(frame, event, function):
    if event == "c_return" and function.__name__ == "write" and frame.f_code.co_name == "write":
        sys.setprofile(None)
        raise KeyboardInterrupt

steady_streams()
sys.setprofile(stop)
try:
    sys.stderr.write("a round\\n")
except KeyboardInterrupt:
    sys.stderr.write("interrupted\\n")
"""

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stderr == "a round\ninterrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_below_what_was_asked_for_is_told(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sfm", "config"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 5
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"
