"""Models of all photos that pairs connect, component by component."""

from __future__ import annotations

from collections.abc import Sequence

from sfm.config.schema import RegisterConfig

from ..scene.journal import Journal
from .trials import Trial, Workbench, best_model


def new_models(
    bench: Workbench, config: RegisterConfig, models: Sequence[Trial], discarded: Journal
) -> list[Trial]:
    """Models of the photos that `models` leave over, component by component."""
    trials: list[Trial] = []
    taken = frozenset().union(*(trial.names for trial in models))
    for component in bench.scene.view_graph.components():
        while len(left := component - taken) >= config.min_model_size and len(trials) < config.max_models:
            trial = best_model(bench, left, discarded)
            if trial is None or len(trial.names) < config.min_model_size:
                break
            trials.append(trial)
            taken |= trial.names
    return trials
