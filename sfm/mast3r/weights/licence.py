"""The licence of the official weights, which is stricter than that of this program."""

from typing import Final

LICENCE_NOTICE: Final = (
    "The MASt3R weights are by Naver Corporation, under CC BY-NC-SA 4.0 "
    "(https://creativecommons.org/licenses/by-nc-sa/4.0/): non-commercial use only, with attribution. "
    "They were also trained on data sets with licences of their own, of which that of the map-free "
    "relocalisation data is the most restrictive; see the notices at https://github.com/naver/mast3r. "
    "Results that are computed with them may be bound by these terms; the sift backend has none."
)
"""Shown once for each weights folder, and in every report of a run that used the weights."""
