"""Kinds of collections that a fit goes without."""

from argparse import ArgumentParser
from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar


class OfKind(Protocol):
    """What was labelled of a collection."""

    @property
    def kind(self) -> str:
        """Of the collection."""


_Labelled = TypeVar("_Labelled", bound=OfKind)


def add_without(parser: ArgumentParser) -> None:
    """The option `--without`, kinds that no fit uses."""
    parser.add_argument(
        "--without", nargs="*", default=(), metavar="KIND", help="judged as others, but in no fit"
    )


def but(labelled: Iterable[_Labelled], kinds: Collection[str]) -> list[_Labelled]:
    """Those of other kinds, in their order."""
    return [one for one in labelled if one.kind not in kinds]
