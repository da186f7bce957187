"""What the mapper is held to beside its peers, and whether it holds, from the rows of a comparison."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from engines.settings import PEERS

from metrics.mapper_rows import MapperRow

Medians = Mapping[str, Mapping[str, MapperRow]]
"""By case, then mapper."""

_AUC_SLACK, _ATE_SLACK = 0.2, 1.05
_LONG_S = 10.0
_MAX_GROWTH = 1.3
_GROWTH = ("grid-100", "grid-300", "grid-1000")
_SHARED_CAMERA = ("fountain-P11", "Herz-Jesus-P8")


def judge(middle: Sequence[MapperRow]) -> list[str]:
    """A line a rule: whether it holds, over how many cases, and where not."""
    by_case: dict[str, dict[str, MapperRow]] = {}
    for row in middle:
        by_case.setdefault(row.case, {})[row.engine] = row
    whole = {case: group for case, group in by_case.items() if {"ours", *PEERS} <= group.keys()}
    known = {case: group for case, group in whole.items() if group["ours"].right is not None}
    unknown = {case: group for case, group in whole.items() if case not in known}
    lines = [
        _line("right photos at least the better peer's", known, _right),
        _line("no wrong photo without a flag", known, _unflagged),
        _line("without truth: registered at least incremental's", unknown, _registered),
        _line("AUC@1, @3, @5 at least the better peer's - 0.2", known, _auc),
        _line(
            "fountain-P11, Herz-Jesus-P8: AUC@1 15 above both", _only(known, _SHARED_CAMERA), _shared_camera
        ),
        _line("eth3d_pipes: 14 photos, AUC@1 2 above global", _only(known, ("eth3d_pipes",)), _pipes),
        _line("ATE on commonly right photos at most 1.05 of the better peer's", known, _ate),
        _line("look-alike facades: ATE at most 1 % of the extent", _alike(known), _folded),
        _line("no known look-alike pair used", _labelled(whole), _false_pairs),
        _line(
            "bonsai292: 95 % of photos as incremental, in a third of its time",
            _only(whole, ("bonsai292",)),
            _large,
        ),
    ]
    return [*lines, *_times(whole), _growth(by_case)]


def _line(title: str, cases: Medians, rule: Callable[[Mapping[str, MapperRow]], str]) -> str:
    if not cases:
        return f"-      {title}: no such case"
    broken = [f"{case} ({why})" for case, group in cases.items() if (why := rule(group))]
    state = "FAILS" if broken else "holds"
    return f"{state}  {title}: {len(cases) - len(broken)} of {len(cases)}" + "".join(f"; {b}" for b in broken)


def _only(cases: Medians, names: Sequence[str]) -> Medians:
    return {case: group for case, group in cases.items() if case in names}


def _alike(cases: Medians) -> Medians:
    return {case: group for case, group in cases.items() if "-alike" in case}


def _labelled(cases: Medians) -> Medians:
    return {case: group for case, group in cases.items() if group["ours"].false_pairs is not None}


def _right(group: Mapping[str, MapperRow]) -> str:
    best = max(group[peer].right or 0 for peer in PEERS)
    own = group["ours"].right or 0
    return "" if own >= best else f"{own:g} < {best:g}"


def _unflagged(group: Mapping[str, MapperRow]) -> str:
    count = group["ours"].unflagged or 0
    return f"{count:g}" if count else ""


def _registered(group: Mapping[str, MapperRow]) -> str:
    own, peer = group["ours"].registered, group["incremental"].registered
    return "" if own >= peer else f"{own:g} < {peer:g}"


def _auc(group: Mapping[str, MapperRow]) -> str:
    broken = []
    for name in ("auc1", "auc3", "auc5"):
        own, best = getattr(group["ours"], name), max(getattr(group[peer], name) for peer in PEERS)
        if own < best - _AUC_SLACK:
            broken.append(f"@{name[3:]} {own:.1f} < {best:.1f}")
    return ", ".join(broken)


def _shared_camera(group: Mapping[str, MapperRow]) -> str:
    own, best = group["ours"].auc1 or 0.0, max(group[peer].auc1 or 0.0 for peer in PEERS)
    return "" if own >= best + 15 else f"{own:.1f} against {best:.1f}"


def _pipes(group: Mapping[str, MapperRow]) -> str:
    own, peer = group["ours"], group["global"]
    good = own.registered >= 14 and (own.auc1 or 0) >= (peer.auc1 or 0) + 2
    return "" if good else f"{own.registered:g} photos, {own.auc1:.1f} against {peer.auc1:.1f}"


def _ate(group: Mapping[str, MapperRow]) -> str:
    ratio = group["ours"].ate_ratio
    return "" if ratio is None or ratio <= _ATE_SLACK else f"{ratio:.3f}"


def _folded(group: Mapping[str, MapperRow]) -> str:
    error = group["ours"].ate
    return "" if error is not None and error <= 0.01 else f"{100 * (error or math.nan):.2f} %"


def _false_pairs(group: Mapping[str, MapperRow]) -> str:
    count = group["ours"].false_pairs
    return f"{count:g}" if count else ""


def _large(group: Mapping[str, MapperRow]) -> str:
    """Within 1 % of the extent and 1 degree, in a third of the time."""
    own, peer = group["ours"], group["incremental"]
    agreed = own.with_incremental or 0.0
    good = agreed >= 95 and own.seconds <= peer.seconds / 3
    return "" if good else f"{agreed:.1f} %, {own.seconds:.0f} s against {peer.seconds:.0f} s"


def _times(whole: Medians) -> Iterator[str]:
    """Ratios to the peers' seconds where incremental takes long."""
    long = {case: group for case, group in whole.items() if group["incremental"].seconds > _LONG_S}
    for peer, limit, title in (
        ("incremental", 1 / 3, "a third of incremental's"),
        ("global", 1.0, "global's"),
    ):
        ratios = {case: group["ours"].seconds / group[peer].seconds for case, group in long.items()}
        cpu = [group["ours"].cpu_s / group[peer].cpu_s for group in long.values()]
        if not ratios:
            yield f"-      time at most {title} in median: no such case"
            continue
        middle = median(ratios.values())
        state = "holds" if middle <= limit else "FAILS"
        told = ", ".join(f"{case} {ratio:.2f}" for case, ratio in ratios.items())
        yield f"{state}  time at most {title} in median: {middle:.2f} (CPU {median(cpu):.2f}); {told}"
    yield _line("never slower than incremental", long, _slower)


def _slower(group: Mapping[str, MapperRow]) -> str:
    own, peer = group["ours"].seconds, group["incremental"].seconds
    return "" if own <= peer else f"{own:.1f} s > {peer:.1f} s"


def _growth(by_case: Medians) -> str:
    """The exponent of time over the number of photos, between the smallest and the largest plain grid."""
    timed = [by_case[name]["ours"] for name in _GROWTH if "ours" in by_case.get(name, {})]
    if len(timed) < 2:
        return "-      growth with the number of photos: no such cases"
    steps = [
        math.log(b.seconds / a.seconds) / math.log(b.photos / a.photos) for a, b in itertools.pairwise(timed)
    ]
    overall = math.log(timed[-1].seconds / timed[0].seconds) / math.log(timed[-1].photos / timed[0].photos)
    state = "holds" if overall <= _MAX_GROWTH else "FAILS"
    told = ", ".join(f"{step:.2f}" for step in steps)
    return f"{state}  time grows at most as N^{_MAX_GROWTH}: {overall:.2f} overall, {told} step by step"
