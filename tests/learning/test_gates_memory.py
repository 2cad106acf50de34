"""Memory: what is no longer seen is needed, and a network without memory cannot do better than is known beforehand.

The seeds were fixed before any run; what is tuned is tuned on seeds 0 to 9.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import pytest
from environments import Recall, WithoutVelocities, copies
from seeds import cases

from rlzoo import PPO
from rlzoo.algorithms import find

CARTPOLE: dict[str, Any] = dict(
    steps=100_000, n_steps=128, batch_size=256, n_epochs=10, learning_rate="linear(1e-3, 0)", clip_range=0.2,
    gae_lambda=0.95, gamma=0.99, hidden=(32,), normalize_reward=True, recurrent_units=32, sequence_length=8,
)  # fmt: skip
RECALL: dict[str, Any] = dict(
    steps=20_000, hidden=(32,), gamma=0.95, learning_rate=2e-3, batch_size=160, train_freq=4, gradient_steps=2,
    learning_starts=500, buffer_size=20_000, tau=0.05, recurrent_units=32, sequence_length=5,
)  # fmt: skip
OWN = {
    "dqn": dict(target_update_interval=0, exploration="linear(1, 0.02, 0.5)"),
    "discrete_sac": dict(entropy_coefficient=0.02),
}
WITH = {"dqn-gru": ("dqn", "gru"), "dqn-lstm": ("dqn", "lstm"), "discrete_sac-gru": ("discrete_sac", "gru"),
        "discrete_sac-lstm": ("discrete_sac", "lstm")}  # fmt: skip


def balanced(recurrent: str | None, backend: str, seed: int) -> float:
    """Mean return of PPO on CartPole without velocities."""
    env = copies(lambda: WithoutVelocities(gym.make("CartPole-v1")), 8)
    agent = PPO(env, backend=backend, seed=seed, recurrent=recurrent, **CARTPOLE).learn()
    return agent.evaluate(20).mean_return


@pytest.mark.parametrize("gate, backend, seed", list(cases(("lstm", "gru"))), indirect=["backend"])
def test_cartpole_is_balanced_without_velocities(gate, backend, seed):
    mean_return = balanced(gate, backend, seed)
    print(f"gate {gate} {backend} {seed}: {mean_return:.1f}")
    assert mean_return >= 300.0


@pytest.mark.learning
@pytest.mark.parametrize("seed", [101, 102, 103])
@pytest.mark.parametrize("backend", ["jax"], indirect=True)
def test_without_memory_it_falls(backend, seed):
    assert balanced(None, backend, seed) < 100.0


def recalled(algorithm: str, recurrent: str | None, backend: str, seed: int) -> float:
    """How often, of 300 episodes, the cue is remembered; by chance it is named in a third of them."""
    settings = RECALL | OWN[algorithm]
    agent = find(algorithm)(copies(Recall, 8), backend=backend, seed=seed, recurrent=recurrent, **settings).learn()
    return agent.evaluate(300).mean_return


@pytest.mark.parametrize("gate, backend, seed", list(cases(WITH, ("dqn-gru",))), indirect=["backend"])
def test_a_cue_is_remembered(gate, backend, seed):
    share = recalled(*WITH[gate], backend, seed)
    print(f"gate {gate} {backend} {seed}: {share:.2f}")
    assert share >= 0.95


@pytest.mark.parametrize("gate, backend, seed", list(cases(OWN)), indirect=["backend"])
def test_without_memory_it_is_guessed(gate, backend, seed):
    assert 0.2 < recalled(gate, None, backend, seed) < 0.5
