"""Where experience is kept: the rollout of on-policy algorithms, the replay of off-policy ones."""

from rlzoo.buffers.replay import ReplayBuffer
from rlzoo.buffers.rollout import RolloutBuffer

__all__ = ["ReplayBuffer", "RolloutBuffer"]
