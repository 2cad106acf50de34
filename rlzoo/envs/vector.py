"""One way to step any Gymnasium vector environment, whatever its autoreset mode."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from rlzoo.envs.outcomes import Outcome, outcome_of
from rlzoo.envs.processes import settle
from rlzoo.errors import UserError


class Transition(NamedTuple):
    """One step of N environments. `observation` is where the next action is chosen; the rest describes the step."""

    next_observation: Any  # the state the step really led to, `[N, *observation]`, or a dict or tuple of such
    reward: np.ndarray  # `[N]`
    terminated: np.ndarray  # `[N]` bool
    truncated: np.ndarray  # `[N]` bool
    done: np.ndarray | None  # `[N]` bool: terminated or truncated; None where no episode ended
    valid: np.ndarray | None  # `[N]` bool: false where an environment reset instead; None where every step counts
    observation: Any


def firsts(done: np.ndarray | None, valid: np.ndarray | None) -> np.ndarray | None:
    """Where the step after one with this `done` and `valid` is an episode's first, `[N]` bool; None where none is."""
    if valid is None:
        return done
    return ~valid if done is None else done | ~valid


class Stepper:
    """Steps a vector environment and tells what happened in the same words for every autoreset mode.

    SAME_STEP: the final observation comes in `info["final_obs"]`. NEXT_STEP: a whole step, whose action is ignored,
    goes to the reset, and is marked not valid. DISABLED: the finished environments are reset here.
    """

    def __init__(self, env: VectorEnv):
        self.env, self.n_envs = env, env.num_envs
        mode = getattr(env.unwrapped, "autoreset_mode", None)  # older Gymnasiums share metadata between environments
        self.mode = AutoresetMode(mode or env.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        self.every_step_counts = self.mode is not AutoresetMode.NEXT_STEP  # no step is a reset: `valid` is always None
        self.shapes_are_known = False  # of what a step gives; looked at once after each reset
        self.resetting: np.ndarray | None = None  # which environments spend the next step on a reset
        self.outcome: Outcome | None = None  # what was said of the episodes that ended last, where anything was
        space = env.single_observation_space
        self.space = space if isinstance(space, spaces.Dict | spaces.Tuple) else None  # of observations with parts

    def reset(self, seed: int | None = None) -> Any:
        """Start an episode in every environment: copy i seeded with `seed + i`, a native vector form with `seed`.

        Also where the last step was broken off. Raises UserError where the process of an environment is gone, and for
        observations that are not one for each environment, as `step` does.
        """
        settle(self.env)
        self.resetting = None
        observation, _ = self.env.reset(seed=seed)
        self._check("observes", observation, self.env.single_observation_space)
        self.shapes_are_known = False
        return observation if self.space is None else _in_order(observation, self.space)

    def step(self, action: np.ndarray) -> Transition:
        """Take the environment's actions `[N, *action]`.

        Raises ValueError where no final observation was given, and UserError where there is not one of each for each
        environment.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not self.shapes_are_known:
            self._check("observes", observation, self.env.single_observation_space)
            for told, what in (("rewards with", reward), ("ends episodes by", terminated), ("cuts them by", truncated)):
                self._check_shape(told, what, ())
            self.shapes_are_known = True
        try:
            done = terminated | truncated
            are_bools = done.dtype == np.bool_
        except (TypeError, AttributeError):  # floats, or lists
            are_bools = False
        if not are_bools:
            terminated, truncated = np.asarray(terminated, np.bool_), np.asarray(truncated, np.bool_)
            done = terminated | truncated
        if not np.count_nonzero(done):  # faster than any()
            done = None
        else:
            self.outcome = outcome_of(info, self.n_envs, self.mode is AutoresetMode.SAME_STEP)
        valid, next_observation = None, observation
        if not self.every_step_counts:
            if self.resetting is not None:
                valid = ~self.resetting
            if done is not None:
                next_observation = copied(observation)  # some environments write the next step over it
            self.resetting = done
        elif done is not None:
            next_observation = copied(observation)
            if self.mode is AutoresetMode.SAME_STEP:
                _put_final_observations(next_observation, info, done)
            else:
                observation, _ = self.env.reset(options={"reset_mask": done})
        if self.space is not None:
            observation, next_observation = (_in_order(x, self.space) for x in (observation, next_observation))
        return Transition(next_observation, reward, terminated, truncated, done, valid, observation)

    def _check(self, told: str, given: Any, space: spaces.Space) -> None:
        """Raises UserError unless there is one for each environment: another shape might be repeated in silence."""
        if isinstance(space, spaces.Dict | spaces.Tuple):
            for key, part in space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces):
                try:
                    found = given[key]
                except (LookupError, TypeError):
                    raise UserError(f"{self.env} {told} no part {key!r}, which its space has: correct either") from None
                self._check(told, found, part)
        elif space.shape is not None:
            self._check_shape(told, given, space.shape)

    def _check_shape(self, told: str, given: Any, shape: tuple[int, ...]) -> None:
        expected = (self.n_envs, *shape)
        if np.shape(given) != expected:
            raise UserError(f"{self.env} {told} an array of shape {np.shape(given)}, expected {expected}: correct it")


def _in_order(observation: Any, space: spaces.Space) -> Any:
    """The parts of a batch of observations in the order of the space, whatever order a dict has them in."""
    if isinstance(space, spaces.Dict):
        return {key: _in_order(observation[key], part) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_in_order(observation[i], part) for i, part in enumerate(space.spaces))
    return observation


def copied(observation: Any) -> Any:
    """A batch of observations with arrays of its own."""
    if isinstance(observation, dict):
        return {key: copied(part) for key, part in observation.items()}
    return tuple(map(copied, observation)) if isinstance(observation, tuple) else observation.copy()


def _put_final_observations(observation: Any, info: dict[str, Any], done: np.ndarray) -> None:
    """Over the first observations of new episodes, write the last ones of those that are done."""
    final = info["final_obs"] if "final_obs" in info else info.get("final_observation")
    for i in done.nonzero()[0].tolist():
        if final is None or final[i] is None:
            raise ValueError(
                "the vector environment says autoreset_mode SAME_STEP but gave no info['final_obs'] for a finished "
                "episode: V(final observation) is needed where an episode is truncated"
            )
        _put(observation, i, final[i])


def _put(batch: Any, i: int, one: Any) -> None:
    if isinstance(batch, dict | tuple):
        for key in batch if isinstance(batch, dict) else range(len(batch)):
            _put(batch[key], i, one[key])
    else:
        batch[i] = one
