"""What the loop may cost: ratios to a reference measured in the same run, never a bound in seconds.

The collector is held to the plainest loop that fills the same arrays, the update to the same one written by hand, on
each engine that has one (`benchmarks/by_hand.py`). Neither may cost half as much again as it did when this was written.
"""

from __future__ import annotations

import time

import gymnasium as gym
import numpy as np
import pytest
from engines import require
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from benchmarks.by_hand import compare
from rlzoo import PPO

MEASURED = {"collector": 1.1, "jax": 1.0, "torch": 0.72, "tensorflow": 1.0}  # ratios to the reference, 2026-11
ALLOWED = 1.5
N_STEPS, N_ENVS = 256, 8


class Still(VectorEnv):
    """Environments in which nothing happens, at no cost: what is measured is what is done around a step."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    num_envs = N_ENVS
    single_observation_space, single_action_space = gym.spaces.Box(-1.0, 1.0, (4,)), gym.spaces.Discrete(2)
    observation_space, action_space = (batch_space(x, N_ENVS) for x in (single_observation_space, single_action_space))

    def __init__(self):
        self.result = np.zeros((N_ENVS, 4), np.float32), np.ones(N_ENVS), np.zeros(N_ENVS, bool), np.zeros(N_ENVS, bool)

    def reset(self, *, seed=None, options=None):
        return self.result[0], {}

    def step(self, actions):
        return *self.result, {}


def plain_loop(env, actions, rollout):
    """What any collector has to do: keep each step's observation, action, reward and ends, and count the returns."""
    observation, returns = env.reset()[0], np.zeros(N_ENVS)
    for t, action in enumerate(actions):
        rollout.observation[t], rollout.action[t] = observation, action
        observation, reward, terminated, truncated, _ = env.step(action)
        rollout.reward[t] = reward
        rollout.terminated[t], rollout.truncated[t] = terminated, truncated
        returns += reward
        if (terminated | truncated).any():
            returns[terminated | truncated] = 0.0


def best_of_turns(calls, rounds=60):
    """The shortest time of each call, taken in turns."""
    best = dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            call()
            best[name] = np.minimum(best[name], time.perf_counter() - begun)
    return best


def test_the_collector_stays_within_its_budget():
    env = Still()
    agent = PPO(env, backend="numpy", n_steps=N_STEPS, hidden=(8,))
    agent.collector.reset(0)
    actions, seconds = agent.policy.head.random(agent.rng, (N_STEPS, N_ENVS)), {"env": 0.0, "act": 0.0}
    to_env = agent.policy.head.to_env
    best = best_of_turns({
        "ours": lambda: agent.collector.fill(agent.rollout, lambda t, seen: (actions[t], None), to_env, seconds),
        "plain": lambda: plain_loop(env, actions, agent.rollout),
    })  # fmt: skip
    assert best["ours"] / best["plain"] < ALLOWED * MEASURED["collector"]


@pytest.mark.parametrize("engine_name", ["jax", "torch", "tensorflow"])
def test_the_update_stays_within_its_budget(engine_name):
    require(engine_name)
    found = compare(engine_name, rounds=30)
    assert found["difference"] < 1e-5  # the same update
    assert found["rlzoo_best"] / found["by_hand_best"] < ALLOWED * MEASURED[engine_name]
