"""The sift backend: COLMAP's SIFT on the proposed pairs; needs no weights and no GPU."""

from .backend import SiftBackend

__all__ = ["SiftBackend"]
