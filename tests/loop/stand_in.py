"""What stands in for matching and registration in the tests of the loop, and a run of the loop with it."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import pycolmap

from retrieval import Edge, Pair, Reason, SceneGraph
from sfm.config.schema import RegisterConfig
from sfm.loop import LoopResult, Models, run_closed_loop
from sfm.loop.rounds import Survived
from sfm.mapping import InconsistencyReport, TwoView, ViewGraph
from sfm.matching import MatchReport
from sfm.workspace.events import EventSink, NullEvents

NAMES = tuple(f"{i}.jpg" for i in range(8))
CHAIN = SceneGraph(NAMES, {Pair(a, b): Edge(0.5, Reason.KNN) for a, b in pairwise(NAMES[:6])})


def model_of(count: int) -> pycolmap.Reconstruction:
    """A synthetic model in which the first `count` photos are registered under our names."""
    pycolmap.set_random_seed(0)  # what overlaps is the same in each run
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, count
    options.num_points3D = 20
    model = pycolmap.synthesize_dataset(options)
    for name, image_id in zip(NAMES, sorted(model.reg_image_ids()), strict=False):
        model.image(image_id).name = name
    return model


class Engine:
    """Stands in for matching and registration. Photos verify that lie next but one, farther ones in later
    rounds; each registration after the first adds one photo.
    """

    def __init__(self) -> None:
        self.matched: list[set[Pair]] = []
        self.starts: list[int] = []
        self.comparisons: list[bool] = []
        self.is_wrong = False
        self.verifies = True
        self.again: dict[Pair, int] = {}
        self.matched_again: list[set[Pair]] = []
        self.known = dict.fromkeys(CHAIN.edges, TwoView(200, "uncalibrated", 0.5))

    def reconstruct(
        self,
        start: Models,
        consistency: InconsistencyReport,
        events: EventSink,
        *,
        compares: bool,
    ) -> Models:
        self.comparisons.append(compares)
        models = self.grown(start)
        events.emit("register", "model", num_images=models[0].num_reg_images())
        return models

    def refine(self, models: Models, consistency: InconsistencyReport, events: EventSink) -> Models:
        return models

    def grown(self, start: Sequence[pycolmap.Reconstruction]) -> tuple[pycolmap.Reconstruction, ...]:
        """The models that registration makes of those before it."""
        registered = start[0].num_reg_images() if start else 4
        self.starts.append(registered if start else 0)
        return (model_of(registered + bool(start)),)

    def match(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        self.matched.append(set(edges))
        near = [
            pair
            for pair, edge in edges.items()
            if self.verifies and abs(NAMES.index(pair.a) - NAMES.index(pair.b)) <= 2 * edge.round
        ]
        self.known.update(dict.fromkeys(near, TwoView(200, "uncalibrated", 0.5)))
        return MatchReport(len(edges), 0, dict.fromkeys(near, 200))

    def pairs_for_again(self) -> Mapping[Pair, int]:
        return self.again

    def match_again(self, edges: Mapping[Pair, Edge]) -> MatchReport:
        self.matched_again.append(set(edges))
        self.again = {pair: count for pair, count in self.again.items() if pair not in edges}
        self.known.update(dict.fromkeys(edges, TwoView(200, "uncalibrated", 0.5)))
        return MatchReport(len(edges), 0, dict.fromkeys(edges, 200))

    def view_graph(self) -> ViewGraph:
        return ViewGraph(NAMES, dict(self.known))

    def inconsistent_pairs(self) -> InconsistencyReport:
        return InconsistencyReport(())

    def are_wrong(self, models: Models, consistency: InconsistencyReport) -> bool:
        return self.is_wrong

    def rank(self, name: str, count: int) -> list[tuple[str, float]]:
        here = NAMES.index(name)
        others = sorted((abs(here - i), other) for i, other in enumerate(NAMES) if other != name)
        return [(other, 1.0 - 0.1 * distance) for distance, other in others][:count]


def run(
    engine: Engine,
    folder: Path,
    config: RegisterConfig,
    events: EventSink | None = None,
    survived: Survived = nullcontext,
) -> LoopResult:
    return run_closed_loop(
        CHAIN,
        engine,
        engine.rank,
        config,
        folder=folder,
        events=events or NullEvents(),
        survived=survived,
    )
