"""The `sfm` command and how its failures look."""

import importlib.metadata
import io
import sys
import traceback
from typing import Any, NoReturn

import click

from sfm.cli.streams import steady_streams
from sfm.errors import EXIT_INTERRUPTED, SfmError

from .arguments import LOG_JSON, OUTPUT, VERBOSE
from .engine import map_command, match_command, run_command
from .graph import graph_command
from .inspection import config_command, doctor_command
from .localisation import localize_command
from .models import align_command, extend_command, merge_command
from .results import dense_command, eval_command, explain_command, export_command
from .retrieval import retrieve_command
from .weights import weights_command

_EPILOG = """\b
Exit codes:
  0    done
  1    an unexpected failure: please report it, with the traceback that the message names
  2    wrong command line or configuration
  3    photos, masks, database or model cannot be used
  4    something that this configuration needs is not installed, or weights cannot be used
  5    the output folder is in use, foreign, damaged or not writable
  6    the photos were read, but no model came out (OUT/report.html has the reason),
       or `localize` could locate none of them
  7    a model was written to OUT/sparse, but a later step failed, such as the report
  130  interrupted; the same command continues

\b
Completion: eval "$(_SFM_COMPLETE=bash_source sfm)" in ~/.bashrc; zsh_source in ~/.zshrc
"""


class _Group(click.Group):
    """Turns expected failures into a line and an exit code; the traceback of others goes to a file."""

    def main(self, *args: Any, **extra: Any) -> Any:
        steady_streams()
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SfmError as error:
            _report(ctx, error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            _interrupted(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if _caused_by_interrupt(error):
                _interrupted(ctx)
            _unexpected(ctx, error)


def _interrupted(ctx: click.Context) -> NoReturn:
    # An export is a folder that is written whole, and keeps nothing that it could continue from.
    is_export = ctx.invoked_subcommand in ("export", "dense")
    after = "no file was written" if is_export else "run the same command again to continue"
    _say(ctx, "interrupted", f"interrupted; {after}")
    ctx.exit(EXIT_INTERRUPTED)


def _unexpected(ctx: click.Context, error: Exception) -> NoReturn:
    """Print an unexpected failure, and where its traceback is."""
    from sfm.workspace.failures import described, keep_traceback

    if ctx.meta.get(VERBOSE):
        traceback.print_exception(error)
    kept = keep_traceback(error, ctx.meta.get(OUTPUT))
    where = f", with the traceback in {kept}" if kept else "; -v shows the traceback"
    hint = f"this is a mistake in sfm: please report it{where}. What was finished is kept"
    _report(ctx, SfmError(f"unexpected failure: {described(error)}", hint=hint))
    ctx.exit(SfmError.exit_code)


def _caused_by_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C lies behind an error: packages that are being imported turn it into errors of theirs."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version; a checkout that was never installed has none."""
    if not wanted:
        return
    try:
        version = importlib.metadata.version("loopsfm")
    except importlib.metadata.PackageNotFoundError:
        version = "(a checkout that is not installed)"
    click.echo(f"sfm {version}")
    ctx.exit()


@click.group(cls=_Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def main() -> None:
    """Structure from motion: photos in, COLMAP model out.

    \b
    sfm run PHOTOS -o OUT         reconstruct a folder of photos
    sfm run --config FILE.yaml    the same with photos, output and options in a file
    sfm COMMAND --help            options of a command
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names need not be valid in the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")


def _report(ctx: click.Context, error: SfmError) -> None:
    text = click.style("error: ", fg="red") + str(error).replace("\n", "\n       ")
    if error.hint:
        text += f"\nhint: {error.hint}"
    _say(ctx, "error", text, message=str(error), hint=error.hint, exit_code=error.exit_code)


def _say(ctx: click.Context, event: str, text: str, **fields: object) -> None:
    """One message on stderr: words, or with --log-json the same as an object."""
    if ctx.meta.get(LOG_JSON):
        from sfm.cli.terminal import json_line

        text = json_line(event, **fields)
    click.echo(text, err=True)


for _command in (
    run_command,
    retrieve_command,
    match_command,
    map_command,
    extend_command,
    localize_command,
    merge_command,
    align_command,
    export_command,
    dense_command,
    explain_command,
    graph_command,
    eval_command,
    config_command,
    doctor_command,
    weights_command,
):
    main.add_command(_command)
