"""One page of results: ours against engines measured here and, apart from them, against published figures.

    python tools/bench/report.py results.json [more.json ...] --out report/

writes report/index.html (one file, no network), report/results.md and report/results.json. Of the same run
in several files the last one's counts; what was measured on different machines or sources is told.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
from charts import HEIGHT, WIDTH
from pair_choices import NEIGHBOURS
from published import PUBLISHED, PublishedTable, counterparts, read_published
from report_charts import curve_charts, pairs_chart, time_chart
from report_tables import NONE, OVERALL_COLUMNS, REFERENCE, SET_COLUMNS, num_scored, overall_lines, set_tables
from rows import Row, median_rows
from table import aligned

from sfm.errors import InputError

_ASSETS = Path(__file__).resolve().parent / "assets"
_NUM_HUES = 8
Published = Sequence[tuple[PublishedTable, Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Results:
    """What result files hold."""

    rows: tuple[Row, ...]
    sources: tuple[Mapping[str, Any], ...]
    """Everything else of each file: machine, versions, commit, command, date."""

    @property
    def medians(self) -> list[Row]:
        """Over the seeds."""
        return median_rows(self.rows)


def read_results(paths: Sequence[Path]) -> Results:
    """All rows of files that `peers.py` wrote.

    Raises:
        InputError: a file cannot be read, or holds no rows of that bench.
    """
    rows: dict[tuple[object, ...], Row] = {}
    sources = []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found = [Row.read(row) for row in content["rows"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} holds no results: {error!r}", hint="peers.py --out writes them"
            ) from error
        if not found:
            raise InputError(f"{path} holds no rows")
        rows |= {(row.set, row.engine, row.choice, row.seed): row for row in found}
        sources.append({key: value for key, value in content.items() if key not in ("rows", "medians")})
    return Results(tuple(rows.values()), tuple(sources))


def write_report(results: Results, out: Path, published_file: Path = PUBLISHED) -> Path:
    """Write page, table and JSON into `out`; the page is given back.

    Raises:
        InputError: the published figures are malformed.
    """
    medians = results.medians
    published = [(table, counterparts(table, medians)) for table in read_published(published_file)]
    out.mkdir(parents=True, exist_ok=True)
    (out / "index.html").write_text(_page(results, medians, published), encoding="utf-8")
    (out / "results.md").write_text(_markdown(results, medians, published), encoding="utf-8")
    content = {
        "measured": {
            "sources": results.sources,
            "rows": [asdict(row) for row in results.rows],
            "medians": [asdict(row) for row in medians],
        },
        "published": [asdict(table) for table, _ in published],
    }
    (out / "results.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return out / "index.html"


def provenance(results: Results) -> list[tuple[str, str]]:
    """What was measured on what and how, each thing told once where all files agree."""
    found: dict[str, list[str]] = {}
    for source in results.sources:
        machine, versions = source.get("machine", {}), source.get("versions", {})
        entries = {
            "machine": f"{machine.get('processor', '')} ({machine.get('platform', 'unknown')})".strip(),
            "cores": f"{machine.get('cores')}, of which each run had {machine.get('threads')}",
            "versions": ", ".join(f"{name} {value}" for name, value in versions.items()),
            "commit": source.get("commit", ""),
            "options": " ".join(source.get("options", [])),
            "command": source.get("command", ""),
            "date": source.get("date", ""),
            **{f"engine {name}": note for name, note in source.get("notes", {}).items()},
        }
        for key, text in entries.items():
            if text and text not in found.setdefault(key, []):
                found[key].append(text)
    seeds = sorted({row.seed for row in results.rows if row.seed is not None})
    told = [(key, "; ".join(texts)) for key, texts in found.items() if texts]
    return [*told, ("seeds", ", ".join(map(str, seeds)))]


def _page(results: Results, medians: Sequence[Row], published: Published) -> str:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.FileSystemLoader(_ASSETS), jinja2.PackageLoader("sfm.report", "assets")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    names = list(dict.fromkeys(row.name for row in medians))
    hues = {name: i % _NUM_HUES for i, name in enumerate(names)}
    return environment.get_template("bench.html").render(
        width=WIDTH,
        height=HEIGHT,
        dates=dict(provenance(results)).get("date", "on an unknown date"),
        num_sets=len({row.set for row in medians}),
        names=names,
        hues=hues,
        provenance=provenance(results),
        overall=overall_lines(medians),
        overall_columns=OVERALL_COLUMNS,
        num_scored=num_scored(medians),
        reference=REFERENCE,
        curves=curve_charts(medians, hues),
        plots=[c for c in (time_chart(medians, hues), pairs_chart(medians, hues)) if c is not None],
        sets=set_tables(medians),
        set_columns=SET_COLUMNS,
        neighbours=NEIGHBOURS,
        published=published,
    )


def _figure(value: float | None) -> str:
    return NONE if value is None else f"{value:g}"


def _markdown(results: Results, medians: Sequence[Row], published: Published) -> str:
    parts = ["# Benchmarks", "\n".join(f"- {key}: {value}" for key, value in provenance(results))]
    overall = [[line.name, *(cell.text for cell in line.cells)] for line in overall_lines(medians)]
    parts += ["## Overall", _grid(["engine", *OVERALL_COLUMNS], overall)]
    lines = [
        [t.name, str(t.photos), line.name, *(f"**{c.text}**" if c.best else c.text for c in line.cells)]
        for t in set_tables(medians)
        for line in t.lines
    ]
    parts += ["## Sets", _grid(["set", "photos", "engine", *SET_COLUMNS], lines)]
    parts += ["## Published by others: not measured here"]
    for table, own in published:
        rows = [[row.method, *map(_figure, row.values)] for row in table.rows]
        rows += [[f"{row.method} (measured here)", *map(_figure, row.values)] for row in own]
        parts += [f"### {table.title}", f"{table.protocol}. Source: {table.source} ({table.confidence})."]
        parts.append(_grid(["method", *table.columns], rows))
    return "\n\n".join(parts) + "\n"


def _grid(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def shown(index: int) -> Any:
        return lambda row: f"| {row[index]}" + (" |" if index == len(titles) - 1 else "")

    cells = [list(map(lambda text: text.replace("|", "\\|"), row)) for row in [["---"] * len(titles), *rows]]
    text = aligned(cells, [(f"| {title}", shown(i)) for i, title in enumerate(titles)])
    head, *rest = text.splitlines()
    return "\n".join([f"{head} |", *rest])


def main() -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="JSON of peers.py --out")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="YAML of published figures")
    options = parser.parse_args()
    try:
        page = write_report(read_results(options.results), options.out, options.published)
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
    print(page)


if __name__ == "__main__":
    main()
