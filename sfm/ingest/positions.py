"""Known camera positions from the user, in a text or CSV file."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sfm.errors import InputError
from sfm.types import PositionPrior
from sfm.untrusted.documents import MAX_LINE_LETTERS, read_text, split_line
from sfm.untrusted.numbers import checked_real, shown

_COLUMNS = {
    "name": ("name", "image", "photo", "file", "filename", "label", "image_name"),
    "latitude": ("lat", "latitude", "latitude_deg"),
    "longitude": ("lon", "lng", "long", "longitude", "longitude_deg"),
    "altitude": ("alt", "altitude", "altitude_m", "ele", "elevation", "height"),
    "x": ("x", "x_m", "east", "easting"),
    "y": ("y", "y_m", "north", "northing"),
    "z": ("z", "z_m", "up"),
    "sigma": ("sigma", "sigma_m", "std", "accuracy", "sigma_h", "sigma_horizontal", "sigma_horizontal_m"),
    "sigma_vertical": ("sigma_v", "sigma_z", "sigma_vertical", "sigma_vertical_m"),
}
"""What each column may be called."""
_WITHOUT_HEADER = ("name", "x", "y", "z", "sigma", "sigma_vertical")
_UNKNOWN_HEIGHT = 10.0
"""How much less sure a height is that nobody gave than one that was measured."""
_MIN_POSITIONS = 3
_SWAPPED = "latitude lies between -90 and 90: are the columns swapped?"


@dataclass(frozen=True, slots=True)
class Sigmas:
    """Standard deviations of positions that come without one, metres."""

    horizontal_m: float
    vertical_m: float


def read_positions_file(
    path: Path, names: Collection[str], sigmas: Sigmas, *, unused: Collection[str] = ()
) -> dict[str, PositionPrior]:
    """Positions by photo name: `name x y z [sigma [sigma_vertical]]`, a photo a line.

    Values are parted by commas, semicolons, tabs or blanks. A first line of column names, with or without #
    before it, gives another order, or latitude, longitude (deg) and altitude (m) on WGS84. Empty lines and
    other lines that start with # are passed over.

    Args:
        sigmas: where the file gives none.
        unused: photos that were left out: their lines are passed over.

    Raises:
        InputError: the file cannot be read, a line of it (named, with advice) cannot be used, or there are
            fewer than three positions, or only equal ones.
    """
    found: dict[str, PositionPrior] = {}
    known = {*names, *unused}
    line_of: dict[str, int] = {}
    columns: tuple[str, ...] = _WITHOUT_HEADER
    for number, line in enumerate(_lines(path), start=1):
        where, text = f"{path}:{number}", line.strip()
        if len(text) > MAX_LINE_LETTERS:
            raise InputError(f"{where}: a line of {len(text)} letters; expected {' '.join(columns[:4])}")
        header = None if line_of else _header(text.lstrip("#"))
        if header:
            columns = _checked_header(header, where)
            continue
        if not text or (text.startswith("#") and text.split()[0] not in names):
            continue
        name, words = _name_and_words(text, columns, known, where)
        if name in line_of:
            raise InputError(f"{where}: {name} occurs twice, first on line {line_of[name]}")
        line_of[name] = number
        prior = _prior(_values(columns, words, where), sigmas, where)
        if name in names:
            found[name] = prior
    _check_enough(path, found)
    return found


def _lines(path: Path) -> list[str]:
    return read_text(path, option="georeference.positions_file").splitlines()


def _header(text: str) -> tuple[str, ...] | None:
    """What the columns hold, if the line is one of column names; unknown ones stay as they are."""
    words = [word.strip().lower() for word in _split(text)]
    roles = tuple(next((r for r, known in _COLUMNS.items() if w in known), w) for w in words)
    return roles if len(set(roles) & set(_COLUMNS)) >= _MIN_POSITIONS else None


def _checked_header(columns: tuple[str, ...], where: str) -> tuple[str, ...]:
    twice = next((column for column in columns if column in _COLUMNS and columns.count(column) > 1), None)
    if twice:
        raise InputError(f"{where}: two columns for {twice}")
    if columns[0] != "name":
        raise InputError(f"{where}: the first column should be the photo's name, not {columns[0]!r}")
    if not {"x", "y", "z"} <= set(columns) and not {"latitude", "longitude"} <= set(columns):
        raise InputError(
            f"{where}: the columns {', '.join(columns)} give no position",
            hint="name, x, y, z in metres, or name, lat, lon, alt",
        )
    return columns


def _split(text: str) -> list[str]:
    separator = next((mark for mark in ",;\t" if mark in text), None)
    return split_line(text, separator)


def _name_and_words(
    text: str, columns: Sequence[str], known: Collection[str], where: str
) -> tuple[str, list[str]]:
    """The photo and the values after its name, which may hold blanks."""
    words = [word.strip() for word in _split(text)]
    for count in range(len(words), 0, -1):
        if (name := " ".join(words[:count])) in known:
            return name, words[count:]
    if len(words) < 3:
        raise InputError(f"{where}: expected {' '.join(columns[:4])}, found {shown(text)}")
    raise InputError(
        f"{where}: no photo is called {shown(words[0])}",
        hint="names are relative to the photo folder, with / between folders",
    )


def _values(columns: Sequence[str], words: Sequence[str], where: str) -> Mapping[str, float]:
    """Numbers by column; a missing altitude or standard deviation is no number."""
    values = dict(_numbers(columns[1:], words, where))
    wanted = ("latitude", "longitude") if "latitude" in columns else ("x", "y", "z")
    for column in wanted:
        if column not in values:
            raise InputError(f"{where}: {column} is missing; expected {' '.join(columns[:4])}")
    return values


def _numbers(columns: Sequence[str], words: Sequence[str], where: str) -> Iterator[tuple[str, float]]:
    if len(words) > len(columns):
        raise InputError(f"{where}: {len(words)} values after the name, but {len(columns)} columns")
    for column, word in zip(columns, words, strict=False):
        if column not in _COLUMNS or not word:
            continue
        yield column, checked_real(word, f"{where}: {column}")


def _prior(values: Mapping[str, float], sigmas: Sigmas, where: str) -> PositionPrior:
    horizontal = values.get("sigma", sigmas.horizontal_m)
    vertical = values.get("sigma_vertical", values.get("sigma", sigmas.vertical_m))
    if horizontal <= 0 or vertical <= 0:
        raise InputError(f"{where}: a standard deviation of 0 or less", hint="sigma is in metres, above 0")
    if "latitude" not in values:
        return PositionPrior((values["x"], values["y"], values["z"]), False, horizontal, vertical)
    latitude, longitude, altitude = values["latitude"], values["longitude"], values.get("altitude")
    if abs(latitude) > 90:
        raise InputError(f"{where}: latitude {latitude:g} is impossible", hint=_SWAPPED)
    if abs(longitude) > 180:
        raise InputError(
            f"{where}: longitude {longitude:g} is impossible",
            hint="longitude lies between -180 and 180; for metres call the columns x, y, z",
        )
    height = math.nan if altitude is None else altitude
    return PositionPrior((latitude, longitude, height), True, horizontal, vertical)


def with_heights(priors: Mapping[str, PositionPrior]) -> dict[str, PositionPrior]:
    """The priors, where the height is missing with the median of the others' and ten times the sigma."""
    heights = sorted(p.xyz[2] for p in priors.values() if not math.isnan(p.xyz[2]))
    median = heights[len(heights) // 2] if heights else 0.0
    return {
        name: PositionPrior(
            (prior.xyz[0], prior.xyz[1], median),
            prior.is_geodetic,
            prior.sigma_horizontal_m,
            _UNKNOWN_HEIGHT * prior.sigma_vertical_m,
        )
        if math.isnan(prior.xyz[2])
        else prior
        for name, prior in priors.items()
    }


def _check_enough(path: Path, found: Mapping[str, PositionPrior]) -> None:
    if len(found) < _MIN_POSITIONS:
        raise InputError(
            f"{path}: positions of {len(found)} photos that are used; at least {_MIN_POSITIONS} are needed"
        )
    if len({prior.xyz for prior in found.values()}) == 1:
        raise InputError(f"{path}: all {len(found)} positions are the same place")
