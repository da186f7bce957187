"""The scenes that a dataset is known to have, from `scenes.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

LISTS = Path(__file__).resolve().parent / "scenes.yaml"


@dataclass(frozen=True, slots=True)
class Listed:
    """A scene as its dataset's list has it."""

    scene: str
    group: str
    num_photos: int | None
    """None where nobody has counted."""


@dataclass(frozen=True, slots=True)
class SceneList:
    """The scenes of one dataset."""

    source: str
    confidence: str
    """`source`, `cross-checked` or `memory`."""
    scenes: Mapping[str, Listed]


@cache
def scene_lists() -> Mapping[str, SceneList]:
    """All lists by dataset."""
    content = yaml.safe_load(LISTS.read_text(encoding="utf-8"))
    return {
        dataset: SceneList(
            source=entry["source"],
            confidence=entry["confidence"],
            scenes={
                scene: Listed(scene, group, count)
                for group, scenes in entry["groups"].items()
                for scene, count in scenes.items()
            },
        )
        for dataset, entry in content.items()
    }


def scene_list(dataset: str) -> SceneList:
    """The list of a dataset; empty where its scenes are whatever is there."""
    return scene_lists().get(dataset, SceneList("whatever is there", "source", {}))
