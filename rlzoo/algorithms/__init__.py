"""The algorithms, one file each, named after it. This is their list; a file is imported when its agent is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from rlzoo.errors import UserError, nearest

ALGORITHMS = {  # module → class
    "ppo": "PPO", "a2c": "A2C", "reinforce": "Reinforce", "trpo": "TRPO",
    "dqn": "DQN", "rainbow": "Rainbow", "qrdqn": "QRDQN",
    "ddpg": "DDPG", "td3": "TD3", "sac": "SAC", "discrete_sac": "DiscreteSAC", "tqc": "TQC",
}  # fmt: skip


def find(name: str) -> Any:
    """The class of an algorithm by its name, or its class's, in any case.

    Raises UserError for an unknown one, and for a class that calls itself otherwise: its hyperparameters and its
    checkpoints go by that name.
    """
    module = str(name).lower()
    if module not in ALGORITHMS:
        module = {kind.lower(): key for key, kind in ALGORITHMS.items()}.get(module, module)
    if module not in ALGORITHMS:
        raise UserError(f"unknown algorithm {name!r}{nearest(name, ALGORITHMS)} (valid: {', '.join(ALGORITHMS)})")
    kind = getattr(import_module(f"rlzoo.algorithms.{module}"), ALGORITHMS[module])
    own = getattr(kind, "name", None)
    if own != module:
        raise UserError(f"{kind.__name__} in {module}.py has name = {own!r}: write name = {module!r}")
    return kind


def load(
    path: str | Path, *, env: Any = None, backend: str | None = None, device: str = "auto", eager: bool = False,
    replay: bool | None = None, **hyperparameters: Any,
) -> Any:  # fmt: skip
    """The agent saved at `path` (by `agent.save`, or a run's folder), on any engine, or on "numpy" to act only.

    `env` says where it is to learn or be evaluated; without it, a plain Gymnasium id is taken from the checkpoint.
    `hyperparameters` are those to learn on with, such as `learning_rate=1e-4`, for those that it was saved with. A
    replay buffer in the checkpoint is loaded too, but on "numpy"; `replay=False` leaves it out, which is faster where
    nothing is learned. Raises UserError for a folder that holds no agent, or a checkpoint that is not whole or does not
    fit them.
    """
    from rlzoo.training import checkpoint

    return checkpoint.load(path, find, env, backend, device, eager, replay, **hyperparameters)
