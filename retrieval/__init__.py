"""Which images see the same thing? Retrieval by ASMK, and the scene graph built from it.

Codebooks, indices and builders are imported from their modules, so that this package stays light.
"""

from .config import RetrievalConfig
from .errors import RetrievalError
from .scene_graph import Edge, Edges, Pair, Reason, SceneGraph

__all__ = ["Edge", "Edges", "Pair", "Reason", "RetrievalConfig", "RetrievalError", "SceneGraph"]
