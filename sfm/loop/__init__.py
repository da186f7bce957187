"""The closed loop between registration and retrieval: choose pairs, match them, register.

A plan holds the pairs that may be matched, the scheduler matches those of the highest expected information,
and `rounds.py` runs and stores the rounds.
"""

from sfm.pairs.ranking import Rank

from .candidates import plan_of
from .loop_state import LoopState
from .mapper import Mapper, Models
from .pair_plan import Candidate, PairPlan
from .round_reports import registered_names
from .rounds import LoopResult, run_closed_loop

__all__ = [
    "Candidate",
    "LoopResult",
    "LoopState",
    "Mapper",
    "Models",
    "PairPlan",
    "Rank",
    "plan_of",
    "registered_names",
    "run_closed_loop",
]
