"""Limits on the length of a pickle from outside, held before anything unpickles it."""

from __future__ import annotations

import pickletools
from typing import IO

_MAX_TUPLES = 50_000
"""Hashing tuples nested deeper than some 100,000 levels exhausts the C stack."""


class RefusedPickleError(ValueError):
    """A pickle that is damaged, refers to something it has no use for, or is written to waste memory."""


def require_short(pickled: IO[bytes], max_instructions: int) -> None:
    """Refuse a pickle that takes too many instructions; it is left at its beginning.

    Raises:
        RefusedPickleError: it does, is cut off, or holds an unknown instruction.
    """
    num_tuples = 0
    try:
        for number, (opcode, _, _) in enumerate(pickletools.genops(pickled)):
            num_tuples += "TUPLE" in opcode.name
            if number >= max_instructions or num_tuples >= _MAX_TUPLES:
                raise RefusedPickleError(f"more than {max_instructions} instructions, or too many tuples")
    except RefusedPickleError:
        raise
    except (ValueError, OverflowError, MemoryError) as error:
        raise RefusedPickleError(f"damaged: {shown(error)}") from error
    pickled.seek(0)


def shown(value: object) -> str:
    """A foreign value for a message: short, on one line, printable."""
    is_flat = isinstance(value, str | bytes | int | float | BaseException | None)
    text = str(value)[:240] if is_flat else f"a {type(value).__name__}"
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return text if len(text) <= 120 else f"{text[:120]} ..."
