"""One page of results: ours beside the engines that were measured here.

    python tools/bench/report.py results.json [more.json ...] --out report/

writes report/index.html (one file, no network), report/results.md and report/results.json, from files of
`peers.py --out`. Of the same run in several files the last one's counts, with a warning where it says
something else; what was measured on different machines or sources is told.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import jinja2
from engines.pair_choices import NEIGHBOURS
from harness.arguments import ending_on_errors, program
from metrics.rows import Row
from page.charts import HEIGHT, WIDTH, curve_charts, pairs_chart, styles, time_chart
from page.markdown import markdown
from page.results import Results, agreement_notes, provenance, read_results
from page.tables import OVERALL_COLUMNS, SET_COLUMNS, overall_tables, reference_of, set_tables

from sfm.errors import InputError

_ASSETS = Path(__file__).resolve().parent / "page" / "assets"


def write_report(results: Results, out: Path) -> Path:
    """Write page, table and JSON into `out`; the page is given back.

    Raises:
        InputError: `out` cannot be written.
    """
    medians = results.medians
    content = {
        "measured": {
            "sources": results.sources,
            "rows": [asdict(row) for row in results.rows],
            "medians": [asdict(row) for row in medians],
            "replaced": results.replaced,
        },
    }
    files = {
        "index.html": _page(results, medians),
        "results.md": markdown(results, medians),
        "results.json": json.dumps(content, indent=1) + "\n",
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():  # names of files in messages need not be valid Unicode
            (out / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error}", hint="--out names a folder") from error
    return out / "index.html"


def _page(results: Results, medians: Sequence[Row]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.FileSystemLoader(_ASSETS), jinja2.PackageLoader("sfm.report", "assets")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = list(dict.fromkeys(row.name for row in medians))
    looks = styles(names)
    return environment.get_template("bench.html").render(
        width=WIDTH,
        height=HEIGHT,
        dates=dict(provenance(results)).get("date", "on an unknown date"),
        num_sets=len({row.set for row in medians}),
        names=names,
        looks=looks,
        provenance=provenance(results),
        overall=overall_tables(medians),
        overall_columns=OVERALL_COLUMNS,
        reference=reference_of(medians),
        curves=curve_charts(medians, looks),
        plots=[c for c in (time_chart(medians, looks), pairs_chart(medians, looks)) if c is not None],
        sets=set_tables(medians),
        set_columns=SET_COLUMNS,
        agreement_notes=agreement_notes(results),
        neighbours=NEIGHBOURS,
    )


def main() -> None:
    """Parse and write."""
    parser = program(__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="JSON of peers.py --out")
    parser.add_argument("--out", type=Path, required=True, help="folder of the report")
    options = parser.parse_args()
    with ending_on_errors():
        results = read_results(options.results)
        page = write_report(results, options.out)
    for line in results.replaced:
        print(f"warning: {line}", file=sys.stderr)
    print(page)


if __name__ == "__main__":
    main()
