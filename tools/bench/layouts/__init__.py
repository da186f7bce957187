"""Loaders of benchmarks' datasets, each as its site ships it."""

from __future__ import annotations

from layouts.registry import DATASETS, DEFAULT_ROOT, Dataset, load_scene, scene_names
from layouts.scene import BenchmarkScene, Scan
from layouts.staging import stage
from layouts.subsets import with_subset

__all__ = [
    "DATASETS",
    "DEFAULT_ROOT",
    "BenchmarkScene",
    "Dataset",
    "Scan",
    "load_scene",
    "scene_names",
    "stage",
    "with_subset",
]
