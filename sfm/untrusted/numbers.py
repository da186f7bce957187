"""Numbers from outside: finite, within a range, and as many as there should be."""

from collections.abc import Sequence

from sfm.errors import InputError

MAX_MAGNITUDE = 1e18
"""No length, angle or pixel is larger; what is computed from such numbers stays finite."""
_SHOWN = 60


def real(value: object) -> float | None:
    """A number, or the text of one, as a float; None where it is none, not finite or too large."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):  # an integer may be larger than any float
        return None
    return found if abs(found) <= MAX_MAGNITUDE else None


def whole(value: object, *, low: int = 0, high: int = 2**31 - 1) -> int | None:
    """A whole number in the range, or the decimal digits of one; None for anything else."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        value = int(value) if digits.isascii() and digits.isdigit() and len(digits) <= 20 else None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if low <= value <= high else None


def checked_real(value: object, where: str) -> float:
    """`real`, or an error that begins with `where`.

    Raises:
        InputError: not a finite number, or one too large.
    """
    found = real(value)
    if found is None:
        raise InputError(f"{where}: {shown(value)} is not a number", hint="write it as in 1234.5 or 1.2e3")
    return found


def checked_reals(values: object, count: int, where: str) -> tuple[float, ...]:
    """Just `count` numbers of a list; texts are none.

    Raises:
        InputError: not a list, not as many, or one that is no finite number.
    """
    if not isinstance(values, list | tuple) or len(values) != count:
        raise InputError(f"{where}: expected {count} numbers, found {shown(values)}")
    numbers = tuple(found for v in values if not isinstance(v, str) and (found := real(v)) is not None)
    if len(numbers) != count:
        raise InputError(f"{where}: expected {count} numbers, finite ones, found {shown(values)}")
    return numbers


def shown(value: object) -> str:
    """A value as a message quotes it: never longer than a line, whatever it is."""
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return "an integer of more than 60 digits"
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")
    if isinstance(value, Sequence | dict):
        return f"{type(value).__name__} of {len(value)}"
    return repr(value)[:_SHOWN]
