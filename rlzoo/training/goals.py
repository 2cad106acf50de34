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
    for key in (GOAL, REACHED):
        if len(space[key].shape or ()) != 1:
            raise UserError(f"hindsight needs {key!r} to be a vector, not {space[key]}: set hindsight = none")

    def goals(seen: Any) -> dict[str, Any]:
        for key in keys:
            seen = seen[key]
        return seen

    return goals


def rewards_of(agent: Any) -> tuple[Callable[[Any, Any], np.ndarray], Callable[[Any, Any], np.ndarray] | None]:
    """Reward and, where it has one, termination of any goal and any state reached, as the environment has them.

    Raises UserError for an environment without `compute_reward`.
    """
    reward, terminated = _method(agent, "compute_reward"), _method(agent, "compute_terminated")
    if reward is None:
        raise UserError(
            f"hindsight needs {agent.environment_name} to have compute_reward(achieved_goal, desired_goal, info), for "
            "arrays [N, goal] too, as Gymnasium-Robotics defines it, in this process: set hindsight = none"
        )
    return reward, terminated


def _method(agent: Any, name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray] | None:
    """A method of one of the environments, or None, for arrays with any leading axes by one call of it on rows.

    Raises UserError when it gives something else than a number for each row.
    """
    env = agent.collector.stepper.env.unwrapped
    one = env.envs[0] if hasattr(env, "envs") else env
    method = one.get_wrapper_attr(name) if isinstance(one, gym.Env) and one.has_wrapper_attr(name) else None
    method = getattr(one, name, None) if method is None else method
    if method is None:
        return None

    def call(achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        rows, goals = (x.reshape(-1, x.shape[-1]) for x in (achieved, desired))
        answer = np.asarray(method(rows, goals, [{}] * len(rows)))
        if answer.size != len(rows):
            raise UserError(
                f"{name} of {agent.environment_name} gave an array of shape {answer.shape} for {rows.shape} goals: "
                f"hindsight needs it to give ({len(rows)},)"
            )
        return answer.reshape(achieved.shape[:-1])

    return call
