"""The figures and sentences of the page, from `run.json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sfm.pairs.history import History
from sfm.report.verdict import Facts, Verdict

Run = Mapping[str, Any]

_HIGH_ERROR_PX = 1.5
_SHORT_TRACKS = 2.6
_MAX_SUSPECTS = 20
_NEARLY_SURE = 0.995  # from here on a rounded probability would be 100 %
_MAX_NAMED = 10
_MAX_SHOWN = 3
_FEW_SUSPECTS = (
    "These pairs match although by other pairs their photos show different places. There are few of them. "
    "Most are chance matches, or true pairs taken from far apart, and do the model no harm."
)


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Opening:
    """What the page opens with: the verdict on the run, and sentences with advice."""

    grade: str
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StageBar:
    """One stage's share of the total time."""

    stage: str
    seconds: float
    percent: float
    counts: str


@dataclass(frozen=True, slots=True)
class VisualAliasing:
    """The section on visual aliasing: one paragraph, the surest pairs, and how many more there are."""

    lead: str
    pairs: tuple[Mapping[str, Any], ...]
    num_more: int


def visual_aliasing(run: Run) -> VisualAliasing | None:
    """The section on visual aliasing; None where it would be empty."""
    pairs, note = run.get("inconsistent_pairs", ()), run.get("aliasing_note", "")
    if not pairs and not note:
        return None
    return VisualAliasing(
        note or _FEW_SUSPECTS, tuple(pairs[:_MAX_SUSPECTS]), max(0, len(pairs) - _MAX_SUSPECTS)
    )


def tiles(run: Run) -> tuple[Tile, ...]:
    """Headline figures; those of the geometry are of the largest model."""
    photos, pairs, models = run["photos"], run["pairs"], run["models"]
    found = [Tile("Photos registered", f"{photos['registered']} of {photos['readable']}", _skipped(photos))]
    if models:
        largest = models[0]
        found += [
            Tile("Models", str(len(models)), ", ".join(f"{m['num_images']}" for m in models[:6]) + " photos"),
            Tile("Points", f"{sum(m['num_points3D'] for m in models):,}", _observations(models)),
            Tile(
                "Reprojection error", f"{largest['mean_reprojection_error_px']:.2f} px", "mean, largest model"
            ),
            *_probabilities(largest),
            Tile("Track length", f"{largest['mean_track_length']:.1f}", "photos a point, mean"),
        ]
    matcher = f" by {run['backend']}" if run.get("backend") else ""
    share = f"{100 * pairs['fraction']:.0f} % of all pairs, {pairs['verified']:,} fit"
    if again := pairs.get("again", 0):
        share += f", {again:,} again by aliked"
    if failed := pairs.get("failed", 0):
        share += f", {failed:,} failed"
    found.append(Tile(f"Pairs matched{matcher}", f"{pairs['matched']:,}", share))
    found.append(
        Tile("Time", duration(run["seconds"]), f"{run['peak_memory_mb'] / 1000:.1f} GB of memory at most")
    )
    return tuple(found)


def _probabilities(model: Mapping[str, Any]) -> Iterator[Tile]:
    for key, what in (("probability", "Not folded or bent"), ("precision", "Exact to 2° and 2 %")):
        if (chance := model.get(key)) is not None:
            share = f"{100 * chance:.0f} %" if chance < _NEARLY_SURE else "over 99 %"
            yield Tile(what, share, "probability, largest model")


def _skipped(photos: Mapping[str, Any]) -> str:
    count = len(photos["skipped"])
    return f"{count} {'file' if count == 1 else 'files'} left out" if count else "all files readable"


def _observations(models: Sequence[Mapping[str, Any]]) -> str:
    return f"{sum(m['num_observations'] for m in models):,} observations"


def duration(seconds: float) -> str:
    """Seconds in the two largest units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def verdict(run: Run, articulations: Mapping[int, str] = MappingProxyType({})) -> Opening:
    """The page's first lines; `articulations` is the one photo that links a model to others, by its index."""
    facts = Facts(
        run["photos"]["readable"],
        run["photos"]["registered"],
        num_models(run),
        num_doubted(run),
        bool(run.get("ambiguous")),
        sum(bool(model.get("bent")) for model in run["models"]),
        sum(bool(model.get("unsure")) for model in run["models"]),
        tuple(failure["step"] for failure in run.get("failures", ())),
        len(run["photos"]["skipped"]),
    )
    found = Verdict.of(facts)
    return Opening(found.grade, found.title, (run["message"], *_advice(run, articulations)))


def articulations(run: Run, history: History) -> dict[int, str]:
    """The photo through which alone a model shares photos with another one, by the model's index. Most photos
    of the model were split off at it."""
    found: dict[int, Counter[str]] = {}
    for outcome in run["outcomes"]:
        if outcome["model"] is not None:
            event = history.split.get(outcome["name"])
            found.setdefault(outcome["model"], Counter())[str(event["articulation"]) if event else ""] += 1
    commonest = {model: counts.most_common(1)[0][0] for model, counts in found.items()}
    return {model: name for model, name in commonest.items() if name}


def _advice(run: Run, articulations: Mapping[int, str]) -> Iterator[str]:
    models = run["models"]
    for failure in run.get("failures", ()):
        yield f"{failure['step']} failed: {failure['error']}. {failure['hint']}".rstrip()
    if changed := run.get("changed"):
        names = ", ".join(photo["name"] for photo in changed[:_MAX_NAMED])
        more = f" and {len(changed) - _MAX_NAMED} more" if len(changed) > _MAX_NAMED else ""
        yield f"Files were removed or changed while the run went on: {names}{more}."
    if run.get("ambiguous"):
        count = len(run["inconsistent_pairs"])
        pairs = "1 pair probably joins" if count == 1 else f"{count} pairs probably join"
        yield f"{pairs} places that only look the same: see Look-alike places below."
    for index, model in enumerate(models):
        if words := model.get("bent") or (not run.get("ambiguous") and model.get("unsure")):
            yield words
        for group in model.get("alternatives", ())[:_MAX_SHOWN]:
            yield (
                f"{_listed(group['names'])} of model {index} may belong elsewhere: "
                f"{100 * group['probability']:.0f} %."
            )
    if doubted := num_doubted(run):
        yield (
            f"{doubted} registered {'photo is' if doubted == 1 else 'photos are'} in doubt: "
            "first among the photos of the model below, with the reason."
        )
    if len(models) > 1:
        yield (
            "The models stay apart because too few pairs of photos connect them. If they show one scene, "
            "take photos that lead from one to the other; if they don't, all is well."
        )
    for model, name in sorted(articulations.items()):
        yield (
            f"Model {model} is connected with another one through {name} alone, so their relative scale is "
            f"unknown. Two or three more photos from around where {name} was taken would join them."
        )
    if run["photos"]["registered"] < run["photos"]["readable"]:
        yield "The missing photos come first below, each with the step that failed and what would help."
    if models and models[0]["mean_reprojection_error_px"] > _HIGH_ERROR_PX:
        yield (
            "The reprojection error is high. If the lens is a wide or fisheye one, try another "
            "images.camera_model; if several cameras or zooms were used, images.camera_sharing=per_image."
        )
    if models and models[0]["num_images"] > 1 and models[0]["mean_track_length"] < _SHORT_TRACKS:
        yield "Most points are seen in two photos only, which leaves them uncertain: more overlap would help."


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return str(names[0])
    return f"{len(names)} photos ({names[0]} … {names[-1]})"


def num_models(run: Run) -> int:
    """Models that were written, with or without figures in `run.json`."""
    in_models = {outcome["model"] for outcome in run["outcomes"] if outcome["model"] is not None}
    return max(len(run["models"]), len(in_models))


def num_doubted(run: Run) -> int:
    """Registered photos that are probably at a wrong place."""
    return sum(bool(outcome.get("doubt")) for outcome in run["outcomes"])


def stage_bars(run: Run) -> tuple[StageBar, ...]:
    """Stages in order; what lies between them is left out, so percentages needn't add up to 100."""
    total = max(run["seconds"], sum(stage["seconds"] for stage in run["stages"]), 1e-9)
    return tuple(
        StageBar(
            stage["stage"],
            stage["seconds"],
            100 * stage["seconds"] / total,
            ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in stage["counts"].items()),
        )
        for stage in run["stages"]
    )
