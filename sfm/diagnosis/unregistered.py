"""Why a photo isn't in a model, and what its photographer can do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import networkx as nx

from sfm.config.schema import RegisterConfig, VerifyConfig
from sfm.pairs.failed_pairs import Failures
from sfm.pairs.history import Event, History, PairTry

_FEW_KEYPOINTS = 200
"""Below this an image rarely has the inliers that a pair needs, however good the overlap."""
_MANY_MATCHES = 60
"""Matches by appearance that, without a common motion, indicate moving things or repeated patterns."""


class Diagnosis(NamedTuple):
    """The step that failed, with its figures, and what would help."""

    reason: str
    advice: str


class EventIndex:
    """Diagnoses the photos of one run.

    Args:
        history: events of the run.
        verify: the run's options of verification, for the thresholds.
        register: the run's options of registration, likewise.
    """

    def __init__(
        self,
        history: History,
        *,
        verify: VerifyConfig | None = None,
        register: RegisterConfig | None = None,
    ) -> None:
        self.history = history
        self.verify = verify or VerifyConfig()
        self.register = register or RegisterConfig()
        self.needed = self.register.colmap.made("incremental_mapper").abs_pose_min_num_inliers

    def diagnose(self, name: str) -> Diagnosis:
        """Why the photo isn't registered: the first step, in the order of the run, at which it was lost."""
        checks: tuple[Callable[[str], Diagnosis | None], ...] = (
            self._unreadable,
            self._without_keypoints,
            self._never_matched,
            self._never_verified,
            self._filtered_out,
            self._rejected,
            self._apart,
        )
        return next(found for check in (*checks, self._too_few_points) if (found := check(name)))

    def _unreadable(self, name: str) -> Diagnosis | None:
        if name in self.history.skipped:
            return Diagnosis(self.history.skipped[name], "")
        if self.history.keypoints.get(name, 0) is None:
            return Diagnosis("COLMAP could not read it", "save it as JPEG or PNG")
        return None

    def _without_keypoints(self, name: str) -> Diagnosis | None:
        count = self.history.keypoints.get(name)
        needed = self.verify.min_num_inliers
        if count is None or count >= needed:
            return None
        found = f"only {_count(count, 'keypoint')}" if count else "no keypoints"
        return Diagnosis(
            f"{found} found, {needed} matching ones are needed: blurred, dark or without texture",
            "take it again, sharp and with textured surfaces in view",
        )

    def _never_matched(self, name: str) -> Diagnosis | None:
        if self.history.tries(name):
            return None
        if not self.history.scores:
            return Diagnosis(
                "no pair with it has a two-view geometry in the database",
                "match it with photos that show the same: sfm match, or sfm run on the photos",
            )
        return Diagnosis(
            "not matched with any photo: none looks like it",
            "if it does belong to the scene, match all pairs (retrieval.mode=exhaustive) "
            "or name its neighbours in a pairs file",
        )

    def _never_verified(self, name: str) -> Diagnosis | None:
        tries = self.history.tries(name)
        if any(attempt.verified for attempt in tries):
            return None
        failures = Failures.among(tries)
        if 2 * failures.count > len(tries):
            return Diagnosis(
                f"{failures.count} of its {_count(len(tries), 'pair')} could not be matched: {failures.why}",
                "run the same command again: it tries them once more",
            )
        best = tries[0]
        shared = (
            f"the best, {best.other(name)}, shares {_count(best.num_matches, 'match', 'matches')} of which "
            f"fewer than {self.verify.min_num_inliers} agree on one camera motion"
            if best.num_matches
            else "it shares not a single match with any of them"
        )
        reason = f"matched with {_count(len(tries), 'photo')}, none fits: {shared}{self._weak_texture(name)}"
        return Diagnosis(reason, self._overlap_advice(name, best))

    def _weak_texture(self, name: str) -> str:
        count = self.history.keypoints.get(name)
        if count is None or count >= _FEW_KEYPOINTS:
            return ""
        return f"; it has only {_count(count, 'keypoint')}, so it may be blurred or without texture"

    def _overlap_advice(self, name: str, best: PairTry) -> str:
        other = best.other(name) if best.num_matches else "the others"
        between = f"take photos between it and {other}, each showing most of what the next shows"
        if best.num_matches >= _MANY_MATCHES:
            return f"things that move or repeat may mislead the matching; {between}"
        return f"too little overlap, or too different a viewpoint: {between}"

    def _filtered_out(self, name: str) -> Diagnosis | None:
        why = self.history.filtered.get(name)
        if why is None or name in self.history.registered:
            return None
        return Diagnosis(
            f"was registered, then taken out again: {why}",
            "more photos from nearby viewpoints would hold it in place; if its lens is unusual, "
            "try another images.camera_model",
        )

    def _rejected(self, name: str) -> Diagnosis | None:
        attempts = self._final_attempts(name)
        if not attempts:
            return None
        best = max(attempts, key=lambda event: int(event["num_visible"] or 0))
        reason = (
            f"tried {_count(len(attempts), 'time')} and rejected: it sees {best['num_visible']} points of "
            f"model {best['model']}, but {best['why']}"
        )
        return Diagnosis(
            f"{reason} ({self.needed} needed)",
            f"{self._closer_photos(name)}; a wrong focal length also does this: "
            "images.camera_sharing=per_image frees it from the other photos' camera",
        )

    def _final_attempts(self, name: str) -> list[Event]:
        """Rejections by models that stayed; those by points where there are any."""
        kept = [event for event in self.history.rejected.get(name, ()) if event.get("model") is not None]
        by_points = [event for event in kept if "correspondences" not in event["why"]]
        return by_points or kept

    def _apart(self, name: str) -> Diagnosis | None:
        """Verified with some photos, but none of them is in a model."""
        group = self._group_of(name)
        if any(other in self.history.registered for other in group):
            return None
        others = [other for other in _names(self.history.tries(name), name) if other in group]
        dropped = self.history.dropped.get(name)
        size = len(dropped["names"]) if dropped else len(group)
        if dropped and size >= self.register.min_model_size:
            model = f"the model of {_count(size, 'photo')}"
            reason = f"fits {_listed(others)}, but {model} is dropped: {dropped['why']}"
        elif dropped or size < self.register.min_model_size:
            reason = (
                f"fits only {_listed(others)}: a model of {_count(size, 'photo')} is dropped, "
                f"{self.register.min_model_size} are needed (register.min_model_size)"
            )
        else:
            reason = (
                f"fits {_listed(others)}, {_count(size, 'photo')} in all, but no pair of them could start "
                "a model: too little movement between them, or too few matches in common"
            )
        return Diagnosis(reason, self._bridge_advice(name, group))

    @cached_property
    def _groups(self) -> dict[str, frozenset[str]]:
        components = map(frozenset, nx.connected_components(self.history.view_graph()))
        return {name: group for group in components for name in group}

    def _group_of(self, name: str) -> frozenset[str]:
        return self._groups.get(name, frozenset({name}))

    def _bridge_advice(self, name: str, group: frozenset[str]) -> str:
        if self.history.registered:
            return f"take photos that lead from {name} to the rest of the scene, a step at a time"
        return "take more photos round these, moving sideways rather than turning on the spot"

    def _too_few_points(self, name: str) -> Diagnosis:
        tries = [t for t in self.history.tries(name) if t.verified]
        known = [t for t in tries if t.other(name) in self.history.registered]
        if not known:
            return Diagnosis(
                f"fits {_listed(_names(tries, name))}, which are not in a model themselves",
                self._closer_photos(name),
            )
        return Diagnosis(
            f"fits {_count(len(known), 'registered photo')} (best {known[0].other(name)}, "
            f"{known[0].num_inliers} inliers), but sees fewer of the model's points than the "
            f"{self.needed} that a pose needs",
            self._closer_photos(name),
        )

    def _closer_photos(self, name: str) -> str:
        verified = [t for t in self.history.tries(name) if t.verified]
        near = [t for t in verified if t.other(name) in self.history.registered] or verified
        target = near[0].other(name) if near else "its neighbours"
        return f"take photos between it and {target}, so that each surface is in three photos or more"


def _names(tries: Iterable[PairTry], name: str) -> list[str]:
    return [attempt.other(name) for attempt in tries if attempt.verified]


def _listed(names: list[str], limit: int = 3) -> str:
    return ", ".join(_shortened(names, limit)) or "no photo"


def _shortened(names: list[str], limit: int) -> Iterator[str]:
    yield from names[:limit]
    if len(names) > limit:
        yield f"{len(names) - limit} more"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
