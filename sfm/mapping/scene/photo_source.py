"""The photos of a scene, as far as their appearance is compared."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PhotoSource(Protocol):
    """Grey values of photos; pickled for models that are built by processes of their own."""

    def grey(self, name: str, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Grey values of a photo as it is stored, perhaps reduced, (H, W).

        Args:
            name: of its image in the database.
            size: width and height of its camera, px.

        Returns:
            None where the photo cannot be read or has another size.
        """
