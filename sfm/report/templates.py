"""Templates of the pages, with what all of them share."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable

import jinja2


@functools.cache
def template(name: str, **filters: Callable[..., str]) -> jinja2.Template:
    """A template of `assets`; whatever is put into it is escaped, and a name that it lacks is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sfm.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def now() -> str:
    """Date and time for people."""
    return datetime.datetime.now(tz=datetime.UTC).astimezone().strftime("%d %B %Y, %H:%M")
