"""How often the last adjustment is done: by how far the photos moved, before and after the last choice."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pycolmap
import pytest

from retrieval import Pair
from sfm.config.schema import RefineConfig, RegisterConfig
from sfm.mapping.cameras.shared_lens import Lenses
from sfm.mapping.growing.submodels import Submodel
from sfm.mapping.refinement.final_refinement import _settled
from sfm.mapping.refinement.refinement_pass import Adjusted, RefinementPass
from sfm.mapping.scene.journal import Journal
from sfm.mapping.scene.options import MapperOptions, mapper_options

MOVED, STAYED = 2e-3, 1e-5
REGAINED = frozenset({Pair("a", "b")})


@dataclass(frozen=True)
class Told:
    """A last pass whose outcomes are given, one after the other."""

    outcomes: list[tuple[float, float, frozenset[Pair]]]
    options: MapperOptions
    converge_first: list[bool] = field(default_factory=list)
    """Of the passes that were made, whether they were patient."""
    judge: Any = field(default_factory=lambda: SimpleNamespace(why_worse=lambda before, after: ""))
    refine: RefineConfig = field(default_factory=RefineConfig)
    scene: Any = field(default_factory=lambda: SimpleNamespace(depth=None))
    admitted_pairs: frozenset[Pair] = frozenset()
    lenses: Lenses = ()
    far: int = 0
    """So many passes at first change the cameras much."""

    def adjusted(self, model: pycolmap.Reconstruction, journal: Journal) -> Adjusted:
        shift, late_shift, regained = self.outcomes[len(self.converge_first)]
        self.converge_first.append(self.options.converge_first)
        is_far = len(self.converge_first) <= self.far
        admitted = self.admitted_pairs | regained
        return Adjusted(model, False, [], shift, late_shift, regained, admitted, (), is_far)


@pytest.mark.parametrize(
    ("outcomes", "num_passes"),
    [
        ([(STAYED, STAYED, frozenset())], 1),
        ([(MOVED, MOVED, frozenset()), (STAYED, 0.0, frozenset())], 2),
        # They moved while observations were chosen, and stayed from then on: nothing would be chosen anew.
        ([(MOVED, STAYED, frozenset())], 1),
        ([(MOVED, STAYED, REGAINED), (STAYED, STAYED, frozenset())], 2),
        # A patient pass chooses after all is adjusted to the end: that they stay from then on says nothing.
        ([(MOVED, MOVED, frozenset()), (MOVED, 0.0, frozenset()), (STAYED, 0.0, frozenset())], 3),
        # Two passes that do not halve the shift: they go to and fro.
        ([(share * MOVED, MOVED, frozenset()) for share in (8, 6, 5, 1)], 3),
        ([(share * MOVED, MOVED, frozenset()) for share in (8, 6, 3, 0)], 4),
        # Pairs that agree later on end neither: where poses stay, or go to and fro, they change nothing.
        ([(share * MOVED, MOVED, REGAINED) for share in (8, 6, 5, 1)], 3),
        ([(STAYED, STAYED, REGAINED), (STAYED, 0.0, REGAINED), (STAYED, 0.0, frozenset())], 2),
        ([(MOVED, MOVED, REGAINED), (MOVED / 4, 0.0, REGAINED), (STAYED, 0.0, frozenset())], 2),
    ],
)
def test_photos_that_stay_where_observations_were_chosen_need_no_other_pass(
    outcomes: list[tuple[float, float, frozenset[Pair]]], num_passes: int
) -> None:
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)
    told = Told(outcomes, options)

    _settled(Submodel.of(pycolmap.Reconstruction()), cast(RefinementPass, told))

    assert told.converge_first == [False, True, True, True, True][:num_passes]


def test_intrinsics_are_asked_for_again_where_richer_cameras_changed_much() -> None:
    options = mapper_options(RegisterConfig(), RefineConfig(), fixed_cameras=frozenset(), threads=1, seed=0)
    told = Told([(STAYED, STAYED, frozenset())] * 3, options, far=2)

    _settled(Submodel.of(pycolmap.Reconstruction()), cast(RefinementPass, told))

    assert len(told.converge_first) == 3
