"""Where the oracle puts what is infinitely far.

Depth of sky is in no ground truth, so that no network is trained for it. What it says of sky is taken to go
on from what is beside it: a backdrop somewhere behind the scene, not infinity, of which it is not sure.
"""

import numpy as np

from .oracle_scene import TrueView

_FAR_PERCENTILE = 90


def backdrop_distance(view: TrueView, otherwise: float) -> float:
    """Depth (m) of the farthest things that a photo shows; `otherwise` if it shows nothing."""
    depth = view.depth()
    shown = depth[depth > 0]
    return float(np.percentile(shown, _FAR_PERCENTILE)) if len(shown) else otherwise
