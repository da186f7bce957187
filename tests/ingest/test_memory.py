"""Memory that decoding takes is known from the header, looked for before, and bounded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from PIL import Image

from sfm.exports.undistortion import check_photo
from sfm.ingest.decode import TooLargeForMemoryError, load_rgb, open_photo, refuse_if_too_large
from sfm.ingest.discover import found_file
from sfm.ingest.examine import Examined, Shelf, examine
from sfm.ingest.memory import MemoryBudget, decoding_bytes
from sfm.workspace.machine import control_group_free, free_memory

ROOT = Path(__file__).resolve().parents[2]
PEAK = """
import os, sys
from pathlib import Path
from sfm.ingest.decode import open_photo, reduced
import pillow_heif, pycolmap
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
for path in sys.argv[1:]:
    if os.fork() == 0:
        before = peak()
        with open_photo(Path(path)) as image:
            pixels = image.width * image.height
            reduced(image, 640)
        print((peak() - before) * 1024 / pixels, flush=True)
        os._exit(0)
    os.wait()
"""
"""Bytes for each pixel that decoding a photo takes, in a child for each that has the modules loaded."""
INGEST = """
import sys
from pathlib import Path
from sfm.config.schema import ImagesConfig
from sfm.workspace.events import NullEvents
from sfm.ingest import ingest
from sfm.workspace.progress import SilentProgress
out = Path(sys.argv[2])
found = ingest(Path(sys.argv[1]), images_dir=out / "images", cache_dir=out / "cache", config=ImagesConfig(),
               threads=2, events=NullEvents(), progress=SilentProgress(), min_photos=1)
print(found.names, found.skipped[0].name, found.skipped[0].reason)
"""


def child(code: str, *arguments: object, limit: int | None = None) -> str:
    """What a process of its own prints, with `limit` bytes of memory to address."""
    shell = f"ulimit -v {limit // 1024} && " if limit else ""
    command = ["sh", "-c", f'{shell}exec "$0" "$@"', sys.executable, "-c", code, *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_deep_gray_photos_take_little_more_than_their_pixels(tmp_path) -> None:
    kinds = [np.dtype(kind) for kind in (np.uint16, np.int32, np.float32)]
    for kind in kinds:
        Image.fromarray(np.full((3000, 4000), 7, kind)).save(tmp_path / f"{kind}.tif")

    found = child(PEAK, *(tmp_path / f"{kind}.tif" for kind in kinds)).split()

    assert len(found) == len(kinds)
    for kind, bytes_per_pixel in zip(kinds, map(float, found), strict=True):
        assert bytes_per_pixel < kind.itemsize + 4, kind


def test_the_header_tells_what_decoding_takes(tmp_path) -> None:
    names = ["RGB.png", "I;16.png", "P.png", "CMYK.tif", "RGB.jpg", "RGB.webp"]
    told = {}
    for name in names:
        picture = Image.new(name.split(".")[0], (3000, 2000))
        picture.save(tmp_path / name)
        with open_photo(tmp_path / name) as image:
            image.draft(None, (640, 640))
            told[name] = decoding_bytes(image) / picture.width / picture.height

    found = child(PEAK, *(tmp_path / name for name in names)).split()

    assert len(found) == len(names)
    for name, bytes_per_pixel in zip(names, map(float, found), strict=True):
        assert bytes_per_pixel < told[name] + 3, f"{name}, but for what all take: strips, modules"


def test_a_photo_that_does_not_fit_is_refused_before_it_is_decoded(tmp_path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("1", (20_000, 20_000)).save(photos / "large.png")
    Image.effect_noise((200, 100), 50).save(photos / "small.png")

    told = child(INGEST, photos, tmp_path / "out", limit=3_000_000_000)

    assert told.startswith("('small.png',) large.png 20000 x 20000 px need 3.6 GB of memory, ")
    assert told.endswith(" GB are free\n")


def test_want_of_memory_is_told_and_others_wait_their_turn(tmp_path) -> None:
    Image.effect_noise((200, 100), 50).save(tmp_path / "a.png")
    with (
        open_photo(tmp_path / "a.png") as image,
        pytest.raises(TooLargeForMemoryError, match=r"200 x 100 px need .* GB are free"),
    ):
        refuse_if_too_large(image, free_memory() * 2)

    found = examine(found_file("a.png", tmp_path / "a.png"), Shelf(tmp_path, 64), MemoryBudget(0))

    assert isinstance(found, Examined), "a photo larger than the budget is decoded alone"


@pytest.mark.parametrize("compression", ["tiff_lzw", "raw"])
def test_photos_beyond_pillows_own_limit_are_read(tmp_path, compression) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    path = tmp_path / "large.tif"
    Image.new("L", (20_000, 20_000)).save(path, compression=compression)

    assert load_rgb(path, max_size=100).shape == (100, 100, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_an_export_looks_at_large_photos_too(tmp_path) -> None:
    path = tmp_path / "large.tif"
    Image.new("1", (20_000, 20_000)).save(path, compression="group4")

    check_photo(path, pycolmap.Camera.create_from_model_name(1, "PINHOLE", 1.0, 20_000, 20_000))


def test_an_export_knows_the_stored_size_of_turned_tiffs(tmp_path) -> None:
    Image.new("L", (90, 60)).save(tmp_path / "a.tif", tiffinfo={0x0112: 6})

    check_photo(tmp_path / "a.tif", pycolmap.Camera.create_from_model_name(1, "PINHOLE", 1.0, 90, 60))


def test_limits_of_control_groups_count(tmp_path) -> None:
    write(tmp_path / "a/b", **{"memory.max": "max", "memory.current": "5", "memory.stat": "inactive_file 3"})
    write(tmp_path / "a", **{"memory.max": "1000", "memory.current": "600", "memory.stat": "inactive_file 3"})
    old = {"memory.limit_in_bytes": "900", "memory.usage_in_bytes": "100"}
    write(tmp_path / "memory/a/b", **old, **{"memory.stat": "cache 7\ntotal_inactive_file 30"})

    assert sorted(control_group_free(tmp_path, "a/b")) == [403, 830]


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + "\n")


def test_a_limit_of_this_process_counts() -> None:
    code = "from sfm.workspace.machine import free_memory; print(free_memory())"

    assert int(child(code, limit=1_000_000_000)) < 1_000_000_000
