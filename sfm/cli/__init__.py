"""The command line: parse, call one function of the public API, print. Nothing heavy is imported for help."""

from .main import main

__all__ = ["main"]
