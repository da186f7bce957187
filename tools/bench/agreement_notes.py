"""Which engines' agreement on a set was taken with which others: those of one results file, not of two."""

from __future__ import annotations

from collections.abc import Iterable

from results import Results


def agreement_notes(results: Results) -> dict[str, str]:
    """A sentence for each set whose engines come from several files: their poses were never compared."""
    groups: dict[str, dict[int, dict[str, bool]]] = {}
    for row, origin in zip(results.rows, results.origins, strict=True):
        if row.is_ok:
            names = groups.setdefault(row.set, {}).setdefault(origin, {})
            names[row.name] = names.get(row.name, False) or row.agreement is not None
    return {name: _told(files.values()) for name, files in groups.items() if len(files) > 1}


def _told(files: Iterable[dict[str, bool]]) -> str:
    parts, without = [], []
    for names in files:
        if compared := [name for name, known in names.items() if known]:
            parts.append(f"{_quoted(compared)} {'in another' if parts else 'in one'}")
        without += [name for name, known in names.items() if not known]
    if without:
        parts.append(f"{_quoted(without)} without any, alone in a file")
    return f"Agreement is among the engines of one results file: {'; '.join(parts)}."


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)
