"""Goals: what hindsight needs of an environment, which is a reward for any goal and any state that was reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlzoo.buffers.hindsight import GOAL, REACHED
from rlzoo.errors import UserError


def goals_in(agent: Any) -> Callable[[Any], dict[str, Any]]:
    """The function that finds the dict with the goals in what an agent's buffers keep of a step.

    Raises UserError for observations without goals.
    """
    space, config = agent.observation_space, agent.config
    keys = ["observation"] * (bool(config.recurrent) + config.action_masks)
    if config.action_masks:
        space = space["observation"]
    if not isinstance(space, spaces.Dict) or not {GOAL, REACHED} <= set(space.spaces):
        raise UserError(f"hindsight needs {GOAL!r} and {REACHED!r} in observations, not {space}: set hindsight = none")

    def goals(seen: Any) -> dict[str, Any]:
        for key in keys:
            seen = seen[key]
        return seen

    return goals


def rewards_of(agent: Any) -> tuple[Callable[[Any, Any], np.ndarray], Callable[[Any, Any], np.ndarray] | None]:
    """Reward and, where it has one, termination of any goal and any state reached, as the environment has them.

    Rewards are normalized like those that were collected.
    Raises UserError for an environment without `compute_reward`.
    """
    env, normalize = agent.collector.stepper.env, agent.normalizers.get("reward")
    reward, terminated = _rows(_method(env, "compute_reward", agent)), _method(env, "compute_terminated")

    def normalized(achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        return normalize.scaled(reward(achieved, desired))

    return reward if normalize is None else normalized, None if terminated is None else _rows(terminated)


def _method(env: Any, name: str, agent: Any = None) -> Any:
    """A method of one of the environments; None, or with `agent` a UserError, if it has none."""
    one = env.unwrapped.envs[0] if hasattr(env.unwrapped, "envs") else env.unwrapped
    found = one.get_wrapper_attr(name) if isinstance(one, gym.Env) and one.has_wrapper_attr(name) else None
    found = getattr(one, name, None) if found is None else found
    if found is None and agent is not None:
        raise UserError(
            f"hindsight needs {agent.environment_name} to have {name}(achieved_goal, desired_goal, info), for arrays "
            "[N, goal] too, as Gymnasium-Robotics defines it: set hindsight = none"
        )
    return found


def _rows(method: Callable[..., Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The method for arrays with any leading axes, by one call of it on rows."""

    def call(achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        rows, goals = (x.reshape(-1, x.shape[-1]) for x in (achieved, desired))
        return np.asarray(method(rows, goals, [{}] * len(rows))).reshape(achieved.shape[:-1])

    return call
