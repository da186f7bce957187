"""Which pairs the peers match, each way by COLMAP's own functions: all, a tree's, those in order, or ours.

`retrieval` is what hloc does: the k photos that retrieval (here ours, with its defaults) puts first, once,
and no loop. Numbers of neighbours are fixed, so that ways are compared at equal budgets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap

from engines.vocabulary_tree import train_tree
from retrieval import Pair
from retrieval.codebook import train_codebook
from retrieval.engine import build_index
from retrieval.query_expansion import neighbours_expanded
from sfm.colmap.database import FeatureDatabase
from sfm.config.schema import Config
from sfm.matching.sift.features import retrieval_descriptors
from sfm.matching.sift.matching import matching_options
from sfm.matching.verification import verification_options, write_pair_list
from sfm.workspace.workspace import content_key

NEIGHBOURS = 20
"""Of each photo, by the tree or by retrieval."""
NUM_WORDS = 4096
_LEAST_PER_WORD = 16
_TREE = "tree.bin"
OVERLAP = 10
"""Photos that follow each, and powers of two beyond; COLMAP's default."""


@dataclass(frozen=True, slots=True)
class Matching:
    """A database of described photos, and how its pairs are matched."""

    database: FeatureDatabase
    config: Config
    threads: int
    scratch: Path
    """Folder for a tree or a list of pairs."""

    def options(self) -> tuple[pycolmap.FeatureMatchingOptions, pycolmap.TwoViewGeometryOptions]:
        """Of matching and verification, those of our engine."""
        return (
            matching_options(self.config.matching, self.threads),
            verification_options(self.config.verify, self.config.run.seed),
        )


def proposes_all(choice: str, num_photos: int) -> bool:
    """Whether a way of so many neighbours ends in all pairs: the database is then the exhaustive one."""
    return choice == "exhaustive" or (choice != "sequential" and num_photos <= NEIGHBOURS + 1)


def choice_key(choice: str) -> str:
    """Names a way and all that its pairs depend on besides photos and features."""
    options = {
        "vocabulary": (NEIGHBOURS, NUM_WORDS, _LEAST_PER_WORD),
        "sequential": (OVERLAP,),
        "retrieval": (NEIGHBOURS,),
    }
    return f"{choice}-{content_key(choice, 1, options.get(choice))[:8]}"


def _exhaustive(job: Matching) -> None:
    matching, verification = job.options()
    pycolmap.match_exhaustive(
        job.database.path,
        matching_options=matching,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def train(choice: str, job: Matching) -> None:
    """What a way needs and its users have beforehand, so that its time counts in nothing: a vocabulary tree.

    It is trained on the photos, which does it no harm; COLMAP's users take one that was trained on others.
    """
    if choice != "vocabulary":
        return
    sift = np.concatenate([job.database.features(name)[1] for name in sorted(job.database.image_ids())])
    words = max(1, min(NUM_WORDS, len(sift) // _LEAST_PER_WORD))
    train_tree(sift, words, job.scratch / _TREE, threads=job.threads)


def _vocabulary(job: Matching) -> None:
    pairing = pycolmap.VocabTreePairingOptions()
    pairing.num_images = NEIGHBOURS + 1  # a photo finds itself first
    pairing.vocab_tree_path, pairing.num_threads = job.scratch / _TREE, job.threads
    matching, verification = job.options()
    pycolmap.match_vocabtree(job.database.path, matching, pairing, verification, device=pycolmap.Device.cpu)


def _sequential(job: Matching) -> None:
    pairing = pycolmap.SequentialPairingOptions()
    pairing.overlap = OVERLAP
    pairing.num_threads = job.threads
    matching, verification = job.options()
    pycolmap.match_sequential(job.database.path, matching, pairing, verification, device=pycolmap.Device.cpu)


def _retrieval(job: Matching) -> None:
    config = job.config.retrieval
    names = sorted(job.database.image_ids())
    described = retrieval_descriptors(job.database, names, num_descriptors=config.num_descriptors)
    codebook = train_codebook(described.values(), config.codebook_size, seed=job.config.run.seed)
    found = neighbours_expanded(build_index(codebook, described, config), NEIGHBOURS)
    pairs = {Pair.of(name, hit.name) for i, name in enumerate(found.names) for hit in found.hits(i)}
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = job.scratch / "pairs.txt"
    matching, verification = job.options()
    with job.database.plain_names() as plain:
        write_pair_list(pairing.match_list_path, sorted(pairs), plain)
        pycolmap.match_image_pairs(
            job.database.path, matching, pairing, verification, device=pycolmap.Device.cpu
        )


CHOICES: dict[str, Callable[[Matching], None]] = {
    "exhaustive": _exhaustive,
    "vocabulary": _vocabulary,
    "sequential": _sequential,
    "retrieval": _retrieval,
}
"""Ways to choose pairs; each matches and verifies them in the database."""
