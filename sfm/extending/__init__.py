"""Models that are there already: photos added to them, or localised against them."""

from .extending import Extension, extend
from .localizing import Localisation, Localised, NotLocalised, localize

__all__ = ["Extension", "Localisation", "Localised", "NotLocalised", "extend", "localize"]
