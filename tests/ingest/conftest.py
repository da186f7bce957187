"""Photos made on the spot, and an `ingest` with an output folder of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfm.config.schema import ImagesConfig
from sfm.ingest import ingest
from sfm.types import Collection
from sfm.workspace.progress import Progress, SilentProgress

MakePhoto = Callable[..., Path]
SILENT = SilentProgress()


@dataclass
class Output:
    """An output folder, and what `ingest` said of the last run into it."""

    root: Path
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def emit(self, stage: str, event: str, **fields: object) -> None:
        self.events.append((event, fields))

    def ingest(self, photos: Path, *, progress: Progress = SILENT, **config: Any) -> Collection:
        self.events.clear()
        return ingest(
            photos,
            images_dir=self.images,
            cache_dir=self.cache,
            config=ImagesConfig(**config),
            threads=2,
            events=self,
            progress=progress,
        )


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "out")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder for photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder


@pytest.fixture
def make_photo(photos: Path) -> MakePhoto:
    """Writes a photo of smooth random texture; different each time unless `seed` is given."""
    count = 0

    def make(
        name: str,
        *,
        size: tuple[int, int] = (96, 64),
        seed: int | None = None,
        mode: str = "RGB",
        **save: Any,
    ) -> Path:
        nonlocal count
        count += 1
        small = np.random.default_rng(count if seed is None else seed).integers(0, 255, (8, 12, 3), np.uint8)
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode)
        if "exif" in save and isinstance(save["exif"], dict):
            save["exif"] = exif_of(save["exif"])
        picture.save(path, **save)
        return path

    return make


@pytest.fixture
def two_good(make_photo: MakePhoto) -> None:
    """Two sound photos."""
    make_photo("good1.jpg")
    make_photo("good2.png")


def exif_of(tags: dict[int, Any]) -> Image.Exif:
    """Tags below 0x8000 as main table, the others as Exif table."""
    exif = Image.Exif()
    for tag, value in tags.items():
        if tag < 0x8000:
            exif[tag] = value
        else:
            exif.get_ifd(0x8769)[tag] = value
    return exif
