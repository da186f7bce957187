"""The one error of this package that a user's files or options can cause."""


class RetrievalError(ValueError):
    """A codebook, index, pair list or option that cannot be used, with what to do about it."""


class MissingEngineError(RetrievalError):
    """The configured engine is an optional package that is not installed."""
