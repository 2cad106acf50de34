"""Learning gates: on every seed an agent reaches a return that a broken one misses, with the settings it is given here.

The seeds were fixed before any run; what is tuned is tuned on others. What agents reached that were broken by one
line (jax, seed 101):

- ppo_kl: of six tuning seeds the best reaches -1276 with the penalty adapted the wrong way and -1406 without it; twelve
  tuning seeds of the whole end at -229 or more. CartPole told less: 453 and 500 for 475.
- a2c: advantages given to the wrong steps 443; ends of episodes overlooked 10.
- reinforce: the same two 22 and 9.
- trpo: advantages given to the wrong steps −1444; the gradient for the natural direction −1169; a critic that is not
  fitted −1073. Without the line search it reaches −194 here: a safeguard, which the same tests hold.
"""

from __future__ import annotations

import pytest

from rlzoo.algorithms import find
from rlzoo.training.callbacks import Evaluate

GATES = {  # algorithm, what it is given, environment, mean return of 20 evaluation episodes
    "ppo": ("ppo", {}, "CartPole-v1", 475.0),
    "ppo_kl": ("ppo", {"objective": "kl", "learning_rate": 3e-3}, "Pendulum-v1", -300.0),
    "a2c": ("a2c", {}, "CartPole-v1", 475.0),
    "reinforce": ("reinforce", {}, "CartPole-v1", 475.0),
    "trpo": ("trpo", {}, "Pendulum-v1", -250.0),
    "dqn": ("dqn", {}, "CartPole-v1", 475.0),
    "sac": ("sac", {}, "Pendulum-v1", -200.0),
}
SEEDS = {"jax": (101, 102, 103), "torch": (101,), "tensorflow": (101,), "mindspore": (101,)}
MORE_SEEDS = {"jax": (104, 105), "torch": (102,), "tensorflow": (102,), "mindspore": (102,)}
WITH_MORE = ("ppo", "dqn", "sac")
QUICK = {("ppo", "jax", 101), ("ppo", "jax", 102), ("ppo", "torch", 101), ("ppo_kl", "jax", 101)}


def gates():
    """A case for each gate, engine and seed; those that take long are marked."""
    for gate in GATES:
        for engine, seeds in SEEDS.items():
            for seed in seeds + (MORE_SEEDS[engine] if gate in WITH_MORE else ()):
                marks = () if (gate, engine, seed) in QUICK else pytest.mark.learning
                yield pytest.param(gate, engine, seed, marks=marks, id=f"{gate}-{engine}-{seed}")


@pytest.mark.parametrize("gate, backend, seed", list(gates()), indirect=["backend"])
def test_it_learns(gate, backend, seed):
    """All end above the threshold; DQN, whose last steps may undo it, reaches it by one of ten evaluations."""
    algorithm, settings, env, threshold = GATES[gate]
    agent = find(algorithm)(env, backend=backend, seed=seed, **settings)
    reached = Evaluate(5000, episodes=20, stop_at=threshold) if algorithm == "dqn" else None
    agent.learn(callbacks=[reached] if reached else [])
    evaluation = reached.last if reached else agent.evaluate(episodes=20)
    print(f"gate {gate} {backend} {seed}: {evaluation.mean_return:.1f} at step {agent.steps}")
    assert evaluation.episodes == 20
    assert evaluation.mean_return >= threshold, f"returns {evaluation.returns}"
