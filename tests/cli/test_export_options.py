"""Options of `sfm export` that a format would ignore are refused, and every option belongs somewhere."""

from pathlib import Path

import pytest

from sfm.cli.results import export_command
from sfm.exports.formats import FORMATS

from .command import sfm_command

OF_ALL = {"--to", "--destination", "--model", "--quiet", "-d", "-q"}
VALUES = {
    "--min-confidence": "2",
    "--pairs-per-view": "2",
    "--points": "9",
    "--as": "points",
    "--frame": "upright",
    "--camera-size": "0",
    "--threads": "1",
}


def options() -> set[str]:
    """Names of the options that some formats have and others have not."""
    names = {parameter.opts[0] for parameter in export_command.params if parameter.opts[0].startswith("-")}
    return names - OF_ALL


def test_every_option_belongs_to_a_format() -> None:
    assert options() == {name for form in FORMATS.values() for name in form.takes}


@pytest.mark.parametrize("to", FORMATS)
def test_what_a_format_would_ignore_is_refused(to: str, tmp_path: Path) -> None:
    for option in sorted(options() - FORMATS[to].takes):
        value = [VALUES[option]] if option in VALUES else []

        done = sfm_command("export", tmp_path, "--to", to, option, *value)

        assert done.exit_code == 2, option
        assert f"the export format {to}" in done.stderr, option
        known = [name for name, form in FORMATS.items() if option in form.takes]
        assert any(name in done.stderr.replace(f"format {to}", "") for name in known), option
    for option in sorted(FORMATS[to].takes):
        value = [VALUES[option]] if option in VALUES else []
        done = sfm_command("export", tmp_path, "--to", to, option, *value)
        assert "means nothing" not in done.stderr, option
        assert done.exit_code != 0  # there is no model
