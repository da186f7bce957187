"""The command line as a user types it, in this process."""

from pathlib import Path

from click.testing import CliRunner, Result

from sfm.cli import main


def sfm_command(*arguments: str | Path) -> Result:
    """Call `sfm` with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="sfm")
