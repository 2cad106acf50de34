"""What acting costs: the policy's microseconds for 8 CartPole observations, and the collector's above the environment.

    python -m benchmarks.acting

Prints JSON, in microseconds: `deterministic` and `sampling` are `agent.act` on 8 observations; `in_collector` is what
the collector calls instead, with observations and noise at hand. `vector_step` is a step of 8 environments alone,
`collected_step` the same step inside the collector with actions at hand, so without a policy, and `collector` what the
collector adds. Both step environments of their own, seeded alike, with the same actions, in turns.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from threadpoolctl import threadpool_limits

import rlzoo


def each(call: Callable[[], Any], repeats: int) -> float:
    """Microseconds a call takes."""
    begun = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begun) / repeats * 1e6


def in_turns(calls: dict[str, Callable[[], Any]], rounds: int, repeats: int) -> dict[str, float]:
    """Microseconds of each call, the median over rounds in which they take turns; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            times[name].append(each(call, repeats))
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def acting(agent: Any, rounds: int) -> dict[str, float]:
    """The policy on as many observations as the agent has environments."""
    observation = agent.collector.raw
    seen = observation.astype(np.float32)
    (noise,) = agent.policy.noise(agent.rng, (1, len(seen)))
    calls = {
        "deterministic": lambda: agent.act(observation),
        "sampling": lambda: agent.act(observation, deterministic=False),
        "in_collector": lambda: agent.sample(seen, noise),
    }
    return in_turns(calls, rounds, 200)


def collecting(agent: Any, alone: VectorEnv, rounds: int) -> dict[str, float]:
    """One vector step of `alone`, an environment like the agent's, and one in the collector, and the difference."""
    rollout, collector, to_env, n_steps = agent.rollout, agent.collector, agent.policy.head.to_env, agent.config.n_steps
    seconds = {"env": 0.0, "act": 0.0}
    alone.reset(seed=0)
    collector.reset(0)
    times: dict[str, list[float]] = {"vector_step": [], "collected_step": [], "collector": []}
    for i in range(rounds + 1):
        actions = agent.policy.head.random(agent.rng, (n_steps, agent.config.n_envs))
        in_env = list(to_env(actions))

        def step_alone(in_env: list[Any] = in_env) -> None:
            for action in in_env:
                alone.step(action)

        def collect(actions: Any = actions) -> None:
            collector.fill(rollout, lambda t, seen: (actions[t], None), to_env, seconds)

        both = [(step_alone, "vector_step"), (collect, "collected_step")]
        for call, name in both if i % 2 else both[::-1]:
            times[name].append(each(call, 1) / n_steps)
        times["collector"].append(times["collected_step"][-1] - times["vector_step"][-1])
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main(rounds: int = 400) -> None:
    agent, twin = (rlzoo.PPO("CartPole-v1", backend="numpy", seed=0, n_envs=8, n_steps=32) for _ in range(2))
    with threadpool_limits(1, user_api="blas"):  # as while learning
        measured = collecting(agent, twin.vector_env, rounds) | acting(agent, rounds // 8)
    print(json.dumps({name: round(value, 2) for name, value in measured.items()}))


if __name__ == "__main__":
    main()
