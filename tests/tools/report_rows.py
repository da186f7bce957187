"""Rows that the tests of the report are made of."""

import json
from dataclasses import asdict
from pathlib import Path

from metrics.rows import CURVE_STEPS, Row
from page.tables import OVERALL_COLUMNS

CURVE = tuple(float(i) for i in range(CURVE_STEPS))


SCORES = {"auc1": 50.0, "auc3": 70.0, "auc5": 80.0, "curve": CURVE}


def row(name: str, engine: str, seed: int = 0, **more: object) -> Row:
    choice = "own" if engine == "ours" else "exhaustive"
    values = {
        "photos": 10,
        "registered": 10,
        "models": (10,),
        "pairs": 45,
        "pairs_share": 1.0,
        "total_s": 8.0,
    }
    return Row(set=name, engine=engine, choice=choice, seed=seed, **{"status": "ok", **values, **more})


ROWS = (
    row("a", "ours", **SCORES, total_s=2.0),
    row("a", "ours", seed=1, **{**SCORES, "auc5": 90.0}, total_s=2.0),
    row("a", "incremental", **{**SCORES, "auc5": 70.0}),
    row("<b>", "ours"),
    row("<b>", "incremental", status="exit 1: <script>", registered=0, models=(), photos=10),
)


def written(path: Path, rows: tuple[Row, ...] = ROWS, **more: object) -> Path:
    machine = {"processor": "a processor", "platform": "Linux", "cores": 2, "threads": 2}
    content = {
        "machine": machine,
        "commit": "abc",
        "command": "python peers.py",
        "date": "2026-01-01",
        **more,
    }
    path.write_text(json.dumps({**content, "rows": [asdict(r) for r in rows]}))
    return path


def told(line, columns=OVERALL_COLUMNS) -> dict[str, str]:
    return {title: cell.text for title, cell in zip(columns, line.cells, strict=True)}
