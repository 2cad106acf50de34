"""Goals: what hindsight needs of an environment, which is a reward for any goal and any state that was reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlzoo.buffers.hindsight import GOAL, REACHED
from rlzoo.envs import name_of
from rlzoo.errors import UserError, warn


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
        mend = "vectorization = sync" if agent.config.vectorization == "async" else "hindsight = none"
        raise UserError(
            f"hindsight needs {agent.environment_name} to have compute_reward(achieved_goal, desired_goal, info), "
            f"as Gymnasium-Robotics defines it, in this process: set {mend}"
        )
    return reward, terminated


def _method(agent: Any, name: str) -> OfGoals | None:
    """A method of one of the environments, or None."""
    env = agent.collector.stepper.env.unwrapped
    one = env.envs[0] if hasattr(env, "envs") else env
    method = one.get_wrapper_attr(name) if isinstance(one, gym.Env) and one.has_wrapper_attr(name) else None
    method = getattr(one, name, None) if method is None else method
    return None if method is None else OfGoals(method, f"{name} of {name_of(one)}")


class OfGoals:
    """An environment's `method(achieved, desired, info)` for arrays `[..., goal]`, which gives `[...]`.

    It is called once for all rows if its answer to two or more is one for each; else once for each row. So methods that
    know one goal alone are taken too, and those that give one answer whatever they are asked, as in Gymnasium-Robotics.
    Raises UserError when it gives something else than a finite number for a row.
    """

    def __init__(self, method: Callable[..., Any], name: str):
        self.method, self.name = method, name
        self.takes_many: bool | None = None  # not known until it is asked for several

    def __call__(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        rows, goals = (x.reshape(-1, x.shape[-1]) for x in (achieved, desired))
        undecided = self.takes_many is None and len(rows) > 1
        if undecided:
            self.takes_many = self._answers_each(rows, goals)
        if self.takes_many:
            answer = self._numbers(self.method(rows, goals, [{}] * len(rows)), len(rows))
        else:
            answer = self._one_by_one(rows, goals)
            if undecided and np.ptp(answer) > 0.0:  # what always answers the same costs little, and is as it should be
                mend = "let it take arrays [N, goal], with a list of N infos, and give [N]"
                warn(f"{self.name} takes one goal at a time, which makes hindsight slow: {mend}")
        return answer.reshape(achieved.shape[:-1])

    def _answers_each(self, rows: np.ndarray, goals: np.ndarray) -> bool:
        """Whether one call gives an answer for each row."""
        try:
            return np.size(self.method(rows, goals, [{}] * len(rows))) == len(rows)
        except Exception:  # of a method for one goal, such as that an array is neither true nor false
            return False

    def _one_by_one(self, rows: np.ndarray, goals: np.ndarray) -> np.ndarray:
        answers = [self.method(row, goal, {}) for row, goal in zip(rows, goals, strict=True)]
        return self._numbers(answers, len(answers))

    def _numbers(self, answers: Any, n: int) -> np.ndarray:
        """One number for each of `n` goals; raises UserError where one is none that is finite."""
        try:
            numbers = np.asarray(answers, np.float64).reshape(n)
        except (TypeError, ValueError):
            wrong = list(answers[:1])
        else:
            each = answers if isinstance(answers, list) else numbers.tolist()
            wrong = [answer for answer, number in zip(each, numbers) if not np.isfinite(number)]
        if wrong:
            raise UserError(f"{self.name} gave {wrong[0]!r} for one goal: hindsight needs a finite number")
        return numbers
