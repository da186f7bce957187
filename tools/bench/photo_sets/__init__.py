"""Loaders of benchmarks' datasets, each as its site ships it."""

from photo_sets.registry import DATASETS, DEFAULT_ROOT, Dataset, load_scene, scene_names
from photo_sets.scene import BenchmarkScene
from photo_sets.staging import stage

__all__ = [
    "DATASETS",
    "DEFAULT_ROOT",
    "BenchmarkScene",
    "Dataset",
    "load_scene",
    "scene_names",
    "stage",
]
