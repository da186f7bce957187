"""The choice between engines of retrieval."""

from collections.abc import Mapping

from .codebook import Codebook, Descriptors
from .config import RetrievalConfig
from .hits import ImageIndex
from .index import RetrievalIndex


def build_index(
    codebook: Codebook, descriptors: Mapping[str, Descriptors], config: RetrievalConfig, *, source: str = ""
) -> ImageIndex:
    """The index of the configured engine over these images; `source` identifies the descriptors.

    Raises:
        RetrievalError: descriptors that cannot be used.
        MissingEngineError: engine asmk is not installed.
    """
    if config.engine == "asmk":
        from .reference import ReferenceIndex  # an optional package

        index = ReferenceIndex(codebook, multiple_assignment=config.multiple_assignment, binary=config.binary)
        index.add(descriptors)
        return index
    return RetrievalIndex.build(
        codebook,
        descriptors,
        multiple_assignment=config.multiple_assignment,
        binary=config.binary,
        source=source,
    )
