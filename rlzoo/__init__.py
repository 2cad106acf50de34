"""rlzoo: a zoo of reinforcement learning algorithms on one layer API, for JAX, PyTorch, TensorFlow and MindSpore.

    from rlzoo import PPO, load
    agent = PPO("CartPole-v1", backend="jax", seed=0).learn()

Nothing here imports a framework; an engine is imported when an agent first uses it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlzoo.errors import RlzooWarning, UserError

if TYPE_CHECKING:
    from rlzoo.algorithms import load
    from rlzoo.algorithms.a2c import A2C
    from rlzoo.algorithms.ddpg import DDPG
    from rlzoo.algorithms.discrete_sac import DiscreteSAC
    from rlzoo.algorithms.dqn import DQN
    from rlzoo.algorithms.ppo import PPO
    from rlzoo.algorithms.qrdqn import QRDQN
    from rlzoo.algorithms.rainbow import Rainbow
    from rlzoo.algorithms.reinforce import Reinforce
    from rlzoo.algorithms.sac import SAC
    from rlzoo.algorithms.td3 import TD3
    from rlzoo.algorithms.tqc import TQC
    from rlzoo.algorithms.trpo import TRPO
    from rlzoo.envs import make

__version__ = "0.1.0"
__all__ = [
    "A2C", "DDPG", "DQN", "PPO", "QRDQN", "SAC", "TD3", "TQC", "TRPO", "DiscreteSAC", "Rainbow", "Reinforce",
    "RlzooWarning", "UserError", "__version__", "load", "make",
]  # fmt: skip

_HOMES = {"load": "rlzoo.algorithms", "make": "rlzoo.envs"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    from rlzoo.algorithms import ALGORITHMS, find

    if name in ALGORITHMS.values():
        return find(name)
    raise AttributeError(f"module 'rlzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
