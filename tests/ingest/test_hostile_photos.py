"""Photos made to harm: each is refused by name with a reason, or used, and the others go on."""

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfm.ingest.discover import found_file
from sfm.ingest.examine import Examined, Shelf, Unusable, examine
from sfm.ingest.memory import MemoryBudget
from sfm.ingest.tiff_tags import claimed_bytes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # as `ingest` does: what matters is the reason
KINDS = {
    "a.jpg": {},
    "progressive.jpg": {"progressive": True},
    "a.png": {},
    "a.tif": {},
    "lzw.tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg"},
    "zstd.tif": {"compression": "zstd"},
    "a.bmp": {},
    "a.webp": {},
    "a.avif": {},
    "a.heic": {},
    "a.jp2": {},
    "a.ppm": {},
}
SIZE = (96, 64)


def look_at(path: Path) -> Examined | Unusable:
    return examine(found_file(path.name, path), Shelf(path.parent / "shelf", 64), MemoryBudget(1 << 33))


def encoded(name: str) -> bytes:
    pytest.importorskip("pillow_heif").register_heif_opener()
    small = np.random.default_rng(0).integers(0, 255, (8, 12, 3), np.uint8)
    picture = Image.fromarray(small).resize(SIZE, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0xA405] = 35
    data = io.BytesIO()
    formats = {"jpg": "JPEG", "tif": "TIFF", "heic": "HEIF", "jp2": "JPEG2000"}
    suffix = name.rsplit(".", 1)[1]
    options = KINDS[name] if suffix in ("bmp", "jp2", "ppm") else {"exif": exif, **KINDS[name]}
    picture.save(data, formats.get(suffix, suffix), **options)
    return data.getvalue()


@pytest.mark.parametrize("name", KINDS)
def test_damage_anywhere_is_told_and_ends_nothing(tmp_path, name) -> None:
    whole = encoded(name)
    path = tmp_path / name
    for seed in range(36):
        data, chance = bytearray(whole), random.Random(seed)
        if seed < 20:
            del data[len(data) * seed // 20 :]
        else:
            for _ in range(chance.choice((1, 2, 4, 16))):
                data[chance.randrange(chance.choice((len(data), 300)))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)

        found = look_at(path)

        assert isinstance(found, Examined) or found.reason
        assert seed >= 15 or isinstance(found, Unusable), f"{len(data)} bytes of {len(whole)} are no photo"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 1) * height), 1)
    chunks = chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


BOMB = zlib.compress(bytes(100 << 20), 9)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(*SIZE, chunk(b"zTXt", b"Comment\0\0" + BOMB)), "too large"),
        (png(*SIZE, chunk(b"iTXt", b"Comment\0\1\0\0\0" + BOMB)), "too large"),
        (png(*SIZE, chunk(b"iCCP", b"icc\0\0" + BOMB)), "too large"),
        (png(0, 64), "not a photo"),
        (png(1, 100_000), "only 1 x 100000 px"),
        (png(65_535, 33), ""),
        (png(100_000, 40), ""),
        (png(*SIZE, chunk(b"acTL", struct.pack(">II", 0xFFFFFFFF, 0))), ""),
    ],
    ids=["text", "utf8", "profile", "empty", "line", "65535", "wide", "frames"],
)
def test_pngs_that_are_not_what_they_seem(tmp_path, data, reason) -> None:
    (tmp_path / "a.png").write_bytes(data)

    found = look_at(tmp_path / "a.png")

    assert reason in found.reason if reason else isinstance(found, Examined)


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.mpo", "a.webp"])
def test_of_many_frames_the_first_counts(tmp_path, name) -> None:
    frames = [Image.new("RGB", SIZE, (value, 0, 0)) for value in range(100)]
    frames[0] = Image.effect_noise(SIZE, 50).convert("RGB")
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])

    found = look_at(tmp_path / name)

    assert isinstance(found, Examined)
    assert (found.width, found.height) == SIZE


def tags(num_entries: int, count: int, *, length: int) -> bytes:
    """A directory whose entries all hold the same bytes."""
    entries = [(256, 4, 1, 96), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, 64), (279, 4, 1, 96 * 64)]
    entries += [(40_000 + i, 1, count, 8) for i in range(num_entries)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + packed + struct.pack("<I", 0)
    return data.ljust(length, b"\x55")


PEAK = """
import sys
from pathlib import Path
from sfm.ingest.discover import found_file
from sfm.ingest.examine import Shelf, examine
from sfm.ingest.memory import MemoryBudget
path = Path(sys.argv[1])
peak = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
before = peak()
found = examine(found_file(path.name, path), Shelf(path.parent / "shelf", 64), MemoryBudget(1 << 33))
print((peak() - before) / 1024, getattr(found, "reason", "sound"))
"""


@pytest.mark.parametrize(
    ("name", "reason"), [("a.tif", "its tags claim more than the file can hold"), ("a.png", "sound")]
)
def test_tags_that_share_their_bytes_are_not_read(tmp_path, name, reason) -> None:
    data = tags(300, 1_000_000, length=1_100_000)
    (tmp_path / name).write_bytes(data if name == "a.tif" else png(*SIZE, chunk(b"eXIf", data)))

    done = subprocess.run(
        [sys.executable, "-c", PEAK, tmp_path / name],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
        timeout=60,
    )

    megabytes, told = done.stdout.split(maxsplit=1)
    assert float(megabytes) < 100
    assert reason in told


def test_tables_that_lead_to_themselves_end(tmp_path) -> None:
    own = struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<HHII", 0x8825, 4, 1, 8)
    exif = struct.pack("<2sHIH", b"II", 42, 8, 2) + own + struct.pack("<I", 8)
    Image.effect_noise(SIZE, 50).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif)

    assert isinstance(look_at(tmp_path / "a.jpg"), Examined)
    assert claimed_bytes(io.BytesIO(exif), len(exif)) == 8


def test_what_tags_hold_is_told_of_either_kind_of_tiff(tmp_path) -> None:
    for big in (False, True):
        path = tmp_path / f"{big}.tif"
        Image.effect_noise((400, 300), 50).save(path, big_tiff=big, tiffinfo={270: "x" * 5000})
        size = path.stat().st_size
        with path.open("rb") as file:
            assert 5000 < claimed_bytes(file, size) < size
    assert claimed_bytes(io.BytesIO(b"no tiff at all, but long enough"), 31) == 0


def test_a_photo_that_changes_while_it_is_read_is_looked_at_again(tmp_path) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise(SIZE, 50).save(path)
    listed = found_file("a.png", path)
    Image.effect_noise((50, 40), 50).save(path)

    found = examine(listed, Shelf(tmp_path, 64), MemoryBudget(1 << 30))

    assert found == Unusable("cannot be read: it changed while it was read", lasting=False)


def test_photos_that_vanish_after_they_were_listed_are_named(output, photos, make_photo) -> None:
    from sfm.workspace.progress import SilentProgress

    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        make_photo(name)
    made = output.ingest(photos)

    class Thief(SilentProgress):
        """Takes a photo away when all are listed, and one more when all were read."""

        def task(self, *args, **kwargs):
            os.unlink(photos / "a.jpg")
            return super().task(*args, **kwargs)

    (output.cache / "images.json").unlink()
    collection = output.ingest(photos, progress=Thief())

    assert made.names == ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    assert collection.names == ("b.jpg", "c.jpg", "d.jpg")
    assert collection.skipped[0].name == "a.jpg"
    assert "No such file" in collection.skipped[0].reason
    assert not (output.images / "a.jpg").is_symlink()


def test_a_masks_size_is_told_from_its_header(output, photos, make_photo, tmp_path) -> None:
    from sfm.errors import InputError

    make_photo("a.jpg")
    make_photo("b.jpg")
    masks = tmp_path / "masks"
    masks.mkdir()
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    hollow = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (masks / "a.jpg.png").write_bytes(hollow)

    with pytest.raises(InputError, match=r"a\.jpg\.png is 20000 x 20000 px, its photo 96 x 64"):
        output.ingest(photos, masks=str(masks))
