"""Options of retrieval and of the first scene graph.

docs/measurements.md has the measurements behind the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge

from .text_form import TextForm

MODES = ("retrieval", "exhaustive", "sequential", "spatial", "pairs", "mast3r-sfm")
"""Ways to choose the first pairs."""

_ANY_MODE = f"({'|'.join(MODES)})"
_WIDTH = r"(-\d{1,9})?(-noncyclic)?"
_REACH = r"(-(seq|cyc)\d{1,9})?"

SceneGraphModes = Annotated[
    str,
    TextForm(
        rf"{_ANY_MODE}(\+{_ANY_MODE})*",
        f"{', '.join(map(repr, MODES[:-1]))} or {MODES[-1]!r}, or several of them joined by '+'",
        (*MODES, "sequential+spatial", "pairs+retrieval"),
    ),
]
"""One mode, or a mixture such as `sequential+spatial`."""

Mast3rSfmGraph = Annotated[
    str,
    TextForm(
        rf"(complete|swin{_WIDTH}|logwin{_WIDTH}|oneref(-\d{{1,9}})?|retrieval-\d{{1,9}}-\d{{1,9}}){_REACH}",
        "complete, swin-K, logwin-K, oneref-R (windows also with -noncyclic) or retrieval-A-K, each also "
        "with -seqD or -cycD, D a number of photos",
        ("retrieval-20-10", "retrieval-20-10-seq30", "complete", "swin-3-noncyclic", "logwin-4", "oneref-0"),
    ),
]
"""A string that `mast3r_sfm_graph.pair_graph` reads."""

_BEFORE_LOOP = 2.0
_WITHOUT_LOOP = 6.0


@dataclass(frozen=True, slots=True)
class RetrievalConfig:
    """Which pairs are matched first."""

    mode: SceneGraphModes = "retrieval"
    """How the first pairs are chosen: retrieval (similar photos by ASMK), exhaustive, sequential (capture
    order), spatial (GPS radius), pairs (a file of two names per line), mast3r-sfm (the graphs of that paper).
    Several joined by + propose their pairs one after another: sequential+spatial, pairs+retrieval."""
    engine: Literal["native", "asmk"] = "native"
    """ASMK implementation: ours, or the reference package (pip install asmk==0.1.1)."""
    exhaustive_max_photos: Annotated[int, Ge(0)] = 20
    """With mode retrieval, collections up to this size match every pair: choosing saves nothing there."""
    positions: Literal["auto", "never"] = "auto"
    """Mode retrieval. auto: nearest photos by GPS or known positions are paired; where nearly all of them are
    precise enough, small collections are not matched exhaustively either. never: positions choose no
    pairs."""
    pairs_per_photo: Annotated[float, Ge(0.5)] | None = None
    """First graph: about this many pairs a photo that mode retrieval chooses; null: 2, to which the closed
    loop adds where the graph is weak, or 6 without the loop."""
    num_anchors: Annotated[int, Ge(0)] = 10
    """Farthest-point anchor photos, all joined with each other (at most a fifth of the photos)."""
    num_descriptors: Annotated[int, Ge(1)] = 1000
    """Local descriptors a photo that describe it for retrieval, largest scale first."""
    codebook_size: Annotated[int, Ge(1)] | None = None
    """Number of visual words; null: 10 times the square root of the number of descriptors, at most 65536."""
    multiple_assignment: Annotated[int, Ge(1), "internal"] = 1
    """Words that a descriptor of the asking photo counts for. With 1 scores are symmetric; more lowers recall
    with a codebook trained on the collection (MASt3R-SfM takes 5, with a codebook of its own)."""
    binary: Annotated[bool, "internal"] = True
    """Binarised residuals: 32 times smaller and quicker to compare, nearly as good."""
    query_expansion: Annotated[bool, "internal"] = True
    """Re-rank similar photos by the photos similar to them: finds partners that rank far down."""
    sequential_overlap: Annotated[int, Ge(1)] = 8
    """Mode sequential: each photo is matched with this many that follow it, and with powers of two beyond."""
    loop_detection: bool = True
    """Mode sequential: also match each photo's nearest neighbours by retrieval, to close loops."""
    spatial_neighbours: Annotated[int, Ge(1)] = 12
    """Mode spatial: nearest photos by GPS that each photo is matched with."""
    spatial_max_distance_m: Annotated[float, Ge(0)] = 200.0
    """Mode spatial: farther photos are not matched."""
    pairs_file: str | None = None
    """Mode pairs: text file, two names a line, relative to the photo folder."""
    mast3r_sfm_graph: Mast3rSfmGraph = "retrieval-20-10"
    """Mode mast3r-sfm: retrieval-A-K (A key photos joined with each other, K nearest neighbours of each, the
    photo itself among them; run.seed draws the first key photo), complete, swin-K, logwin-K (K photos that
    follow; windows also with -noncyclic) or oneref-R. -seqD at the end keeps pairs at most D places apart in
    the order of names, -cycD the same in a circle: retrieval-20-10-seq30."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that `mode` joins, in order, each once."""
        return tuple(dict.fromkeys(self.mode.split("+")))

    @property
    def wanted_pairs_per_photo(self) -> float:
        """`pairs_per_photo`, or what it is where no loop follows."""
        return _WITHOUT_LOOP if self.pairs_per_photo is None else self.pairs_per_photo

    def before_loop(self) -> RetrievalConfig:
        """These options where the closed loop goes on from the first graph."""
        return self if self.pairs_per_photo is not None else replace(self, pairs_per_photo=_BEFORE_LOOP)
