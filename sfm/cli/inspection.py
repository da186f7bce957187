"""Commands about the engine itself: its options and its installation."""

import json

import click

from sfm.config.presets import preset_names

from .arguments import complete_options


@click.command("config", short_help="Print all options as YAML, or their JSON schema.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=complete_options)
@click.option("--preset", metavar="NAME", help=f"One of {', '.join(preset_names())}.")
@click.option("--schema", is_flag=True, help="Print the JSON schema for editors instead.")
@click.option("--no-comments", is_flag=True, help="Values only.")
@click.option("--internal", is_flag=True, help="Explain the options of comparisons and tests, too.")
def config_command(
    overrides: tuple[str, ...], preset: str | None, schema: bool, no_comments: bool, internal: bool
) -> None:
    """Print all options with their values and what they do: a file for `sfm run --config`."""
    from sfm.config.loading import load_config
    from sfm.config.printing import config_as_yaml, config_schema

    if schema:
        click.echo(json.dumps(config_schema(), indent=2))
        return
    config = load_config(preset=preset, overrides=overrides)
    click.echo(config_as_yaml(config, comments=not no_comments, internal=internal), nl=False)


@click.command("doctor", short_help="Show what is installed and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor_command(as_json: bool) -> None:
    """What is installed, what is missing, what that costs and how to get it."""
    from sfm.pipelines.doctor import doctor, require_healthy

    diagnosis = doctor()
    click.echo(json.dumps(diagnosis.to_dict(), indent=2) if as_json else diagnosis.as_text())
    require_healthy(diagnosis)
