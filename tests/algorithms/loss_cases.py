"""The three algorithms at the size where finite differences are cheap: agents, fixed batches, and their updates.

NumPy's finite differences see through `stop_gradient`; `holding_stopped_values` makes them respect it.
"""

from __future__ import annotations

from contextlib import contextmanager

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlzoo import DQN, PPO, SAC
from rlzoo.backend import numpy as reference_backend
from rlzoo.backend import tree

N_UPDATES, BATCH, ROLLOUT = 50, 8, 16
SCALARS = {"learning_rate": np.float64(1e-3), "clip_range": np.float64(0.2), "entropy_coefficient": np.float64(0.01)}


class Spaces(gym.Env):
    """Only spaces: nothing is stepped."""

    observation_space = spaces.Box(-1.0, 1.0, (3,))

    def __init__(self, action_space):
        self.action_space = action_space


DISCRETE, BOX = spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,))
AGENTS = {
    "ppo discrete": lambda: PPO(Spaces(DISCRETE), **PPO_SETTINGS),
    "ppo continuous": lambda: PPO(Spaces(BOX), **PPO_SETTINGS, clip_range_value=0.1, target_kl=1.0),
    "ppo multi-discrete": lambda: PPO(Spaces(spaces.MultiDiscrete([2, 3])), **PPO_SETTINGS),
    "dqn": lambda: DQN(Spaces(DISCRETE), **SETTINGS),
    "dqn not double": lambda: DQN(Spaces(DISCRETE), double=False, **SETTINGS),
    "sac": lambda: SAC(Spaces(BOX), **SETTINGS),
}
SETTINGS = {"backend": "numpy", "hidden": (5,), "activation": "tanh", "gamma": 0.9}
PPO_SETTINGS = SETTINGS | {"n_steps": ROLLOUT, "batch_size": BATCH}


def double(value):
    """The same tree with floats as float64."""
    return tree.map(lambda x: np.asarray(x, np.float64) if np.asarray(x).dtype.kind == "f" else np.asarray(x), value)


def actions(agent, rng, shape):
    return agent.policy.head.random(rng, shape)


def flags(rng, shape):
    return (rng.random(shape) < 0.3).astype(np.float64)


def starting_state(agent, rng):
    """The state of learning with weights moved off their initial values (a target equal to them, an actor near 0)."""
    state = double(agent.state)
    return {k: v + 0.3 * rng.standard_normal(v.shape) if k in ("parameters", "target") else v for k, v in state.items()}


def replayed(agent, rng, shape):
    """Transitions and noise of updates of these leading axes."""
    batch = {
        "observation": rng.standard_normal((*shape, 3)), "next_observation": rng.standard_normal((*shape, 3)),
        "action": actions(agent, rng, shape), "reward": 2.0 * rng.standard_normal(shape),
        "terminated": flags(rng, shape), "truncated": flags(rng, shape),
    }  # fmt: skip
    return double({"batch": batch, "noise": agent.noise_of_update(shape)})


def rollout(agent, rng):
    shape = (ROLLOUT, 1)
    terminated = flags(rng, shape)
    return double({
        "observation": rng.standard_normal((*shape, 3)), "next_observation": rng.standard_normal((*shape, 3)),
        "action": actions(agent, rng, shape), "reward": rng.standard_normal(shape), "terminated": terminated,
        "done": np.maximum(terminated, flags(rng, shape)), "valid": 1.0 - 0.3 * flags(rng, shape),
    })  # fmt: skip


def loss_case(name):
    """A function `(state, data) -> value, metrics and gradient` of an agent's loss, and its arguments."""
    agent, rng = AGENTS[name](), np.random.default_rng(1)
    state = starting_state(agent, rng)
    if agent.name == "ppo":
        data = rollout(agent, rng)
        data = {key: x.reshape(ROLLOUT, *x.shape[2:]) for key, x in data.items() if key in ("observation", "action")}
        names = ("log_prob", "value", "advantage", "return")
        data |= {key: rng.standard_normal(ROLLOUT) for key in names} | {"weight": 1.0 - flags(rng, ROLLOUT)}
        outputs = agent.policy.parameters_of_action(p := agent.layout.split(state["parameters"]), data["observation"])
        now = agent.policy.head.distribution.log_prob(outputs, data["action"])
        data["log_prob"] = now + 0.3 * data["log_prob"]  # ratios on both sides of the clip
        data["value"] = agent.policy.value(p, data["observation"]) + 0.2 * data["value"]

        def loss(state, data):
            return agent.layout.value_and_grad(lambda p: agent.loss(p, data, SCALARS), state["parameters"])
    else:
        data = replayed(agent, rng, (ROLLOUT,))

        def loss(state, data):
            noise = data["noise"]
            target = agent.targets(state, data["batch"], *(noise[k] for k in ("next_action",) if k in noise))
            current = [noise["action"]] if "action" in noise else []
            value, metrics, gradient = agent.layout.value_and_grad(
                lambda p: agent.loss(p, data["batch"], target, *current), state["parameters"]
            )
            return value, metrics, gradient, target

    return agent, loss, (state, data)


def update_case(name):
    """An agent's whole update, and arguments that make 50 gradient steps of it."""
    agent, rng = AGENTS[name](), np.random.default_rng(2)
    state = starting_state(agent, rng)
    if agent.name == "ppo":
        minibatches = [rng.permutation(ROLLOUT)[:BATCH] for _ in range(N_UPDATES)]
        return agent, agent.update, (state, rollout(agent, rng), np.array(minibatches, np.int32), SCALARS)
    fixed = replayed(agent, rng, (1, BATCH))
    inputs = tree.map(lambda x: np.repeat(x, N_UPDATES, 0), fixed) | {"tau": np.full(N_UPDATES, 0.05)}
    return agent, agent.update, (state, inputs, {"learning_rate": SCALARS["learning_rate"]})


@contextmanager
def holding_stopped_values(monkeypatch):
    """Within, what `stop_gradient` returns at a point is held while finite differences move the arguments round it."""
    differences = reference_backend.value_and_grad

    def value_and_grad(function, arrays):
        held = []

        def note(x):
            held.append(x)
            return x

        with monkeypatch.context() as patch:
            patch.setattr(reference_backend, "stop_gradient", note)
            function(arrays)

            def with_held(arrays):
                again = iter(held)
                patch.setattr(reference_backend, "stop_gradient", lambda x: next(again))
                return function(arrays)

            return differences(with_held, arrays)

    with monkeypatch.context() as patch:
        patch.setattr(reference_backend, "value_and_grad", value_and_grad)
        yield
