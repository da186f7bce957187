"""`sfm map` of a database with the folder of its photos."""

from pathlib import Path

import pycolmap
import pytest
from click.testing import CliRunner
from PIL import Image

import sfm
from sfm.cli import main
from sfm.errors import InputError

from . import synthetic


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("database")
    return synthetic.synthesize(folder / "all.db", num_images=6, num_points=300).database


def names(database: Path) -> list[str]:
    with pycolmap.Database.open(database) as db:
        return [image.name for image in db.read_all_images()]


def test_photos_beside_a_database_are_read_where_they_are_there(database: Path, tmp_path: Path) -> None:
    first, second, *_ = names(database)
    Image.new("L", (30, 20)).save(tmp_path / first)
    (tmp_path / second).write_bytes(b"no photo")

    result = sfm.map_database(database, output=tmp_path / "out", images=tmp_path)

    assert [model.num_reg_images() for model in result.models] == [6]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted([first, second])


def test_a_folder_without_these_photos_is_refused(database: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"holds no photo of .*, such as {names(database)[0]}"):
        sfm.map_database(database, output=tmp_path / "out", images=tmp_path / "elsewhere")

    assert not (tmp_path / "out").exists()


def test_the_command_takes_the_folder(database: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    arguments = ["map", str(database), "-o", str(tmp_path / "out"), "--images", str(tmp_path / "elsewhere")]

    result = CliRunner().invoke(main, arguments)

    assert result.exit_code != 0
    assert "holds no photo of" in result.output
    assert "--images" in result.output
