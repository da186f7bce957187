"""Which images see the same thing? Retrieval by ASMK, and the scene graph built from it."""

from .config import RetrievalConfig
from .scene_graph import Edge, Pair, Reason, SceneGraph

__all__ = ["Edge", "Pair", "Reason", "RetrievalConfig", "SceneGraph"]
