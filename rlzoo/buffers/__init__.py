"""Where experience is kept: the rollout of on-policy algorithms, the replay of off-policy ones."""

from rlzoo.buffers.hindsight import HindsightReplay
from rlzoo.buffers.priorities import Priorities, SumTree
from rlzoo.buffers.replay import ReplayBuffer
from rlzoo.buffers.rollout import RolloutBuffer

__all__ = ["HindsightReplay", "Priorities", "ReplayBuffer", "RolloutBuffer", "SumTree"]
