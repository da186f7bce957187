"""The closed loop between registration and retrieval: find weaknesses, request pairs, match them, register.

Rules propose requests, the scheduler spends the budget, and `rounds.py` runs and stores the rounds.
"""

from sfm.pairs.ranking import Rank

from .consistency_requests import deciding_requests
from .loop_state import LoopState
from .mapper import Mapper, Models
from .requests import Candidate, PairRequest
from .round_reports import registered_names
from .rounds import LoopResult, run_closed_loop
from .rules import propose_requests

__all__ = [
    "Candidate",
    "LoopResult",
    "LoopState",
    "Mapper",
    "Models",
    "PairRequest",
    "Rank",
    "deciding_requests",
    "propose_requests",
    "registered_names",
    "run_closed_loop",
]
