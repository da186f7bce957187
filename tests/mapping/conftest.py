"""What tests of clusters share."""

from __future__ import annotations

import pytest

from . import synthetic
from .chain import make_chain


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Scene:
    """Photos of which each is paired with the next five; not to be changed."""
    return make_chain(tmp_path_factory.mktemp("chain"))
