"""What is written on signs, posters and the ground; every seed has its own spelling."""

from collections.abc import Sequence

SIGNS = (
    "CAFE LUNA", "BOOKS", "BAKERY", "HOTEL ORION", "FLOWERS", "CINEMA", "PHARMACY", "RADIO & TV",
    "TAILOR", "CHEESE", "MUSIC HALL", "CLOCKS", "BICYCLES", "TEA HOUSE", "TOYS", "MAPS", "BARBER",
    "ANTIQUES", "LIBRARY", "FISH",
)  # fmt: skip
POSTERS = ("OPERA", "CIRCUS", "BALL", "JAZZ", "LOST CAT", "VOTE")
PLANTS = ("ROSES", "MINT", "DAHLIA", "TULIPS", "SAGE", "POPPY")
STATUE = ("LOOP", "SFM", "1837", "REX")
CHALK = ("SFM", "LOOP", "HELLO", "42", "N>V")


def spelled(words: Sequence[str], seed: int) -> tuple[str, ...]:
    """The words with every letter and digit moved on by `seed` places: seed 0 is English.

    Equal words in two squares would be matched, and the squares joined by them.
    """
    return tuple("".join(_moved(letter, seed) for letter in word) for word in words)


def _moved(letter: str, seed: int) -> str:
    for alphabet in ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"):
        if letter in alphabet:
            return alphabet[(alphabet.index(letter) + seed) % len(alphabet)]
    return letter
