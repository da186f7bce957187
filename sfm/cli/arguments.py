"""Arguments that several commands share: where the configuration comes from, and what is shown meanwhile."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from sfm.config.presets import preset_names

if TYPE_CHECKING:
    from sfm.config.schema import Config
    from sfm.workspace.progress import Progress

LOG_JSON = "sfm.log_json"
"""Key in click's shared `meta`: errors are to be JSON as well."""
OUTPUT = "sfm.output"
"""Likewise: the output folder, in whose cache the traceback of an unexpected failure goes."""
VERBOSE = "sfm.verbose"
"""Likewise: such a traceback is shown, too."""

PHOTOS = "[PHOTOS] [KEY=VALUE]..."
"""Positional arguments of the commands that start from photos, as help shows them."""

_OVERRIDE = re.compile(r"[A-Za-z_][\w.]*=")


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked of an engine command."""

    arguments: tuple[str, ...]
    """Positional: a path and `key=value` overrides, in any order."""
    output: Path | None
    config_path: Path | None
    preset: str | None
    threads: int | None
    seed: int | None
    quiet: bool
    log_json: bool
    verbose: bool

    @classmethod
    def option_names(cls) -> frozenset[str]:
        """Names of the options that a request takes; a command may have others of its own."""
        return frozenset(field.name for field in fields(cls))

    @property
    def paths(self) -> list[str]:
        """Positional arguments that are not overrides."""
        return [argument for argument in self.arguments if not is_override(argument)]

    def config(self, *, needs_output: bool = True) -> Config:
        """The configuration from all sources, with output and resources from the command line.

        Raises:
            ConfigError: naming every problem.
            UsageError: there is no output folder.
        """
        from sfm.config.loading import load_config

        overrides = [argument for argument in self.arguments if is_override(argument)]
        for key, value in (("run.threads", self.threads), ("run.seed", self.seed)):
            if value is not None:
                overrides.append(f"{key}={value}")
        config = load_config(self.config_path, preset=self.preset, overrides=overrides)
        if self.output is not None:
            config = replace(config, output=os.path.abspath(self.output))
        if config.output is None and needs_output:
            raise click.UsageError(
                "where should the result go? Give -o OUT, or `output:` in the configuration."
            )
        return config


def engine_options(arguments: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Options of the commands that compute, and the positional `arguments` as help shows them.

    The command receives all of them as one `Request`, and options of its own by name.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_request(**options: object) -> None:
            shared = {name: options.pop(name) for name in Request.option_names()}
            request = Request(**shared)  # type: ignore[arg-type]
            shown = {LOG_JSON: request.log_json, OUTPUT: request.output, VERBOSE: request.verbose}
            click.get_current_context().meta.update(shown)
            command(request, **options)

        decorated: Callable[..., None] = with_request
        for option in reversed(_ENGINE_OPTIONS):
            decorated = option(decorated)
        argument = click.argument("arguments", nargs=-1, metavar=arguments, shell_complete=_paths_and_options)
        return argument(decorated)

    return decorate


def complete_options(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """What the shell offers for KEY=VALUE: keys, those of today for earlier ones, and values.

    bash takes `=` for a word of its own: there the key is among the words before, and click drops a `=` that
    is the last.
    """
    from sfm.config.options import schema_tree
    from sfm.config.renamed import earlier_names

    options = {option.name: option for option in schema_tree().options()}
    typed: tuple[str, ...] = ctx.params.get(str(param.name)) or ()
    *_, before, last = ("", "", *typed)
    key, equals, begun = start.partition("=")
    if equals and key in options:
        return [CompletionItem(f"{key}={v}") for v in options[key].choices if v.startswith(begun)]
    if (split := before if last == "=" else last if not start else "") in options:
        return [CompletionItem(value) for value in options[split].choices if value.startswith(start)]
    found = [name for name in options if name.startswith(start)]
    found = found or [new for old, new in earlier_names().items() if new and old.startswith(start)]
    return [CompletionItem(f"{name}=") for name in found]


def _paths_and_options(ctx: click.Context, param: click.Parameter, start: str) -> list[CompletionItem]:
    """What the shell offers for a positional argument: files and options."""
    return [CompletionItem(start, type="file"), *complete_options(ctx, param, start)]


def photos_and_config(request: Request) -> tuple[Path, Config]:
    """The folder of photos, from the command line or the configuration, and the configuration.

    Raises:
        UsageError: there is none, or more than one.
    """
    config = request.config()
    given = one_path(request.paths, "folder of photos")
    if given is not None:
        config = replace(config, photos=os.path.abspath(os.path.expanduser(given)))
    if config.photos is None:
        command = click.get_current_context().command_path
        raise click.UsageError(
            f"which photos? Give a folder: {command} PHOTOS -o OUT, or `photos:` in --config FILE."
        )
    return Path(config.photos), config


def one_path(paths: Sequence[str], what: str) -> str | None:
    """The only path of a command line, or None.

    Raises:
        UsageError: there are several.
    """
    if len(paths) > 1:
        listed = ", ".join(map(repr, paths))
        raise click.UsageError(f"one {what}, please; got {listed} (quote names with spaces)")
    return paths[0] if paths else None


def is_override(argument: str) -> bool:
    """True for `key=value`; a folder that exists under that very name is a path."""
    return bool(_OVERRIDE.match(argument)) and not os.path.exists(argument)


@contextmanager
def shown(request: Request) -> Iterator[Progress]:
    """Progress for the command as the user asked, with COLMAP's log lines kept back unless verbose."""
    from sfm.cli import terminal
    from sfm.workspace.interruption import interruptible
    from sfm.workspace.native_log import native_log

    display = terminal.choose_display(quiet=request.quiet, log_json=request.log_json, verbose=request.verbose)
    terminal.set_up_logging(display=display, verbose=request.verbose)
    with native_log(verbose=request.verbose), interruptible(terminal.say_stopping(display)):
        yield terminal.make_progress(display)


_ENGINE_OPTIONS = (
    click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the result."),
    click.option(
        "--config",
        "config_path",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="YAML, or a run.json.",
    ),
    click.option(
        "--preset",
        metavar="NAME",
        help=f"Start from: {', '.join(preset_names())}.",
        shell_complete=lambda _ctx, _param, start: [n for n in preset_names() if n.startswith(start)],
    ),
    click.option("--threads", type=click.IntRange(min=1), help="Threads to use; all cores when not given."),
    click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random."),
    click.option("-q", "--quiet", is_flag=True, help="Nothing but errors."),
    click.option("--log-json", is_flag=True, help="Progress and log on stderr as a JSON object a line."),
    click.option("-v", "--verbose", is_flag=True, help="Show COLMAP's log lines too."),
)
