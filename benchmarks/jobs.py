"""What is measured: each job at identical settings for rlzoo and its peers. Any environment can import this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Job:
    """One algorithm in one environment: rlzoo's hyperparameters, and the same ones in Stable-Baselines3's names."""

    algorithm: str
    env: str
    steps: int
    rlzoo: dict[str, Any]
    peer: dict[str, Any]
    hidden: tuple[int, ...]
    n_envs: int = 1
    targets: dict[str, float] = field(default_factory=dict)  # engine → least ratio to Stable-Baselines3


def _ppo_cartpole() -> Job:
    return Job(
        "ppo", "CartPole-v1", 100_000, {},  # rlzoo's published settings are these
        dict(n_steps=32, batch_size=256, n_epochs=20, gae_lambda=0.8, gamma=0.98,
             learning_rate="linear 1e-3", clip_range="linear 0.2"),
        (64, 64), 8, dict(jax=6.0, tensorflow=5.0, torch=3.0, mindspore=1.0),
    )  # fmt: skip


def _sac(env: str, hidden: tuple[int, ...], steps: int) -> Job:
    same = dict(batch_size=256, train_freq=1, gradient_steps=1, learning_starts=100, learning_rate=3e-4)
    wide, narrow = (2.2, 2.0, 1.6, 1.0), (6.0, 5.0, 2.5, 1.0)
    targets = dict(zip(("jax", "tensorflow", "torch", "mindspore"), wide if hidden[0] == 256 else narrow))
    return Job("sac", env, steps, same | dict(hidden=hidden, n_envs=1), same, hidden, targets=targets)


JOBS = {
    "ppo-cartpole": _ppo_cartpole(),
    "ppo-halfcheetah": Job(
        "ppo", "HalfCheetah-v5", 8192,
        dict(n_envs=1, n_steps=512, batch_size=64, n_epochs=20, hidden=(64, 64)),
        dict(n_steps=512, batch_size=64, n_epochs=20), (64, 64),
        targets=dict(jax=6.0, tensorflow=5.0, torch=3.5, mindspore=1.5),
    ),
    "dqn-cartpole": Job(
        "dqn", "CartPole-v1", 10_000, dict(learning_rate=2.3e-3, double=False),
        dict(learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1000, gamma=0.99,
             target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=0.16,
             exploration_final_eps=0.04), (256, 256),
        targets=dict(jax=4.0, tensorflow=3.5, torch=2.5, mindspore=1.0),
    ),
    "sac-pendulum": _sac("Pendulum-v1", (256, 256), 1500),
    "sac-pendulum-64": _sac("Pendulum-v1", (64, 64), 3000),
    "sac-halfcheetah": _sac("HalfCheetah-v5", (256, 256), 1500),
    "sac-halfcheetah-64": _sac("HalfCheetah-v5", (64, 64), 3000),
}  # fmt: skip
