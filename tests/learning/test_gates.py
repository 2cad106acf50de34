"""Learning gates: at an environment's default budget an agent reaches a return that a broken one misses, on every seed.

The seeds were fixed before any run; what is tuned is tuned on seeds 0 to 9.
"""

from __future__ import annotations

import pytest

from rlzoo.algorithms import find
from rlzoo.training.callbacks import Evaluate

GATES = {  # environment, mean return of 20 evaluation episodes
    "ppo": ("CartPole-v1", 475.0),
    "dqn": ("CartPole-v1", 475.0),
    "sac": ("Pendulum-v1", -200.0),
}
SEEDS = {"jax": (101, 102, 103, 104, 105), "torch": (101, 102), "tensorflow": (101, 102), "mindspore": (101, 102)}
BUDGETS: dict[tuple[str, str], int] = {}  # (algorithm, engine) → steps, where they are not the environment's default
QUICK = {("ppo", "jax", 101), ("ppo", "jax", 102), ("ppo", "torch", 101)}


def gates():
    """A case for each algorithm, engine and seed; those that take long are marked."""
    for algorithm in GATES:
        for engine, seeds in SEEDS.items():
            for seed in seeds:
                marks = () if (algorithm, engine, seed) in QUICK else pytest.mark.learning
                yield pytest.param(algorithm, engine, seed, marks=marks, id=f"{algorithm}-{engine}-{seed}")


@pytest.mark.parametrize("algorithm, backend, seed", list(gates()), indirect=["backend"])
def test_it_learns(algorithm, backend, seed):
    """PPO and SAC end above the threshold; DQN, whose last steps may undo it, reaches it by one of ten evaluations."""
    env, threshold = GATES[algorithm]
    agent = find(algorithm)(env, backend=backend, seed=seed)
    reached = Evaluate(5000, episodes=20, stop_at=threshold) if algorithm == "dqn" else None
    agent.learn(BUDGETS.get((algorithm, backend)), callbacks=[reached] if reached else [])
    evaluation = agent.evaluate(episodes=20)
    print(f"gate {algorithm} {backend} {seed}: {evaluation.mean_return:.1f} at step {agent.steps}")
    assert evaluation.episodes == 20
    assert evaluation.mean_return >= threshold, f"returns {evaluation.returns}"
