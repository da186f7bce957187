"""Ablations beside the whole engine as a table of texts: each figure with its difference, times as ratios."""

from collections.abc import Callable, Sequence

from engines.runs import OWN

from metrics.rows import Number, Row
from metrics.table import number, spread

Columns = Sequence[tuple[str, Callable[[Row], str]]]


def ablation_columns(medians: Sequence[Row]) -> Columns:
    """Titles, and how each figure of a median row is told; differences are from the whole engine's row of the
    same set and options, and left out where there is none."""
    whole = {(row.set, row.variant): row for row in medians if row.choice == OWN}

    def beside(row: Row, figure: str) -> tuple[Number, Number]:
        other = whole.get((row.set, row.variant))
        return getattr(row, figure), None if other is None else getattr(other, figure)

    def difference(figure: str, digits: int) -> Callable[[Row], str]:
        def show(row: Row) -> str:
            text = spread(row, figure, digits)
            mine, theirs = beside(row, figure)
            if row.choice == OWN or mine is None or theirs is None:
                return text
            return f"{text} ({mine - theirs:+.{digits}f})"

        return show

    def ratio(figure: str) -> Callable[[Row], str]:
        def show(row: Row) -> str:
            mine, theirs = beside(row, figure)
            return number(mine / theirs if mine is not None and theirs else None, 2)

        return show

    variants = len({row.variant for row in medians}) > 1
    return [
        ("set", lambda row: row.set),
        *([("engine", _engine)] if variants else []),
        ("ablation", lambda row: "none" if row.choice == OWN else row.choice),
        ("reg", difference("registered", 0)),
        ("models", lambda row: "+".join(map(str, row.models)) or "none"),
        ("AUC@1", difference("auc1", 1)),
        ("AUC@5", difference("auc5", 1)),
        ("ATE", lambda row: "-" if row.ate is None else f"{row.ate:.4g}"),
        ("pairs", lambda row: number(row.pairs, 0)),
        ("CPU", ratio("cpu_s")),
        ("time", ratio("total_s")),
        ("status", lambda row: row.status),
    ]


def _engine(row: Row) -> str:
    return f"{row.engine} ({row.variant})" if row.variant else row.engine
