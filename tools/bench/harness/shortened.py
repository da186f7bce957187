"""Messages short enough for a cell of a table."""

import textwrap

_END = "\N{HORIZONTAL ELLIPSIS}"
_STATUS_CHARACTERS = 160
"""Of a status or a note."""


def shortened(text: str, num_characters: int = _STATUS_CHARACTERS) -> str:
    """The text in one line; where it is longer, words at its end are left out and an ellipsis tells so."""
    short = textwrap.shorten(text, num_characters, placeholder=f" {_END}")
    if short != _END:
        return short
    return " ".join(text.split())[: num_characters - 1] + _END  # a first word that is longer than all
