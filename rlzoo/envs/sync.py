"""Gymnasium's SyncVectorEnv with less around each step: what it costs is the environments themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from rlzoo.envs.outcomes import told_of_one
from rlzoo.errors import UserError

ARRAYS = (Box, Discrete, MultiBinary, MultiDiscrete)  # spaces whose members are arrays or numbers


class LeanSyncVectorEnv(SyncVectorEnv):
    """Copies of an environment, stepped one after another and reset in the step that ended their episode.

    Steps as SyncVectorEnv does under SAME_STEP. Without `infos`, info has only "final_obs", where ended episodes led,
    and in "final_info" what `outcomes` reads: putting together all that several environments say of each step can take
    as long as the step, and may not be possible.
    """

    def __init__(self, env_fns: Sequence[Callable[[], gym.Env]], infos: bool = True):
        super().__init__(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)
        self.infos = infos
        self.of_arrays = all(isinstance(x, ARRAYS) for x in (self.single_observation_space, self.single_action_space))
        self.types_are_known = False  # of what steps observe; checked at the first, for each would take 1 µs

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        """As SyncVectorEnv; raises UserError for observations of another shape or kind of number than the space's."""
        options = None if options is None else dict(options)
        chosen = (options or {}).pop("reset_mask", np.ones(self.num_envs, np.bool_))
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)] if np.ndim(seed) == 0 else seed
        infos: dict[str, Any] = {}
        for i, (env, one) in enumerate(zip(self.envs, seeds, strict=True)):
            if chosen[i]:
                self._env_obs[i], info = _begun(env, env.reset(seed=one, options=options))
                infos = self._add_info(infos, info, i)
        batch = self._together()
        self.types_are_known = False  # of what steps observe
        return batch, infos

    def step(self, actions: Any) -> Any:
        n = self.num_envs
        infos: dict[str, Any] = {}
        rewards, terminations, truncations = np.empty(n), np.empty(n, np.bool_), np.empty(n, np.bool_)
        each = actions if self.of_arrays else iterate(self.action_space, actions)
        for i, (env, action) in enumerate(zip(self.envs, each, strict=True)):
            stepped = env.step(action)
            try:
                observation, reward, terminated, truncated, info = stepped
            except (TypeError, ValueError):
                found = f"{len(stepped)} values" if isinstance(stepped, tuple) else type(stepped).__name__
                mend = "return observation, reward, terminated, truncated, info"
                raise UserError(f"{env} gives {found} for a step, as versions of Gym did: {mend}") from None
            try:
                rewards[i] = reward
            except (TypeError, ValueError):
                raise UserError(f"{env} rewards with {reward!r}: a reward is a number") from None
            terminations[i], truncations[i] = terminated, truncated
            if terminated or truncated:
                final = deepcopy(observation)  # some environments write the next episode's first over it
                told = {"final_info": info} if self.infos else told_of_one(info)
                infos = self._add_info(infos, {"final_obs": final, **told}, i)
                observation, info = _begun(env, env.reset())
            if self.infos and info:
                infos = self._add_info(infos, info, i)
            self._env_obs[i] = observation
        return self._together(), rewards, terminations, truncations, infos

    def _together(self) -> Any:
        """The environments' observations as a batch of its own."""
        if not self.types_are_known:
            self._check_observations()
            self.types_are_known = True
        if not self.of_arrays:
            room: Any = create_empty_array(self.single_observation_space, self.num_envs)
            try:
                return concatenate(self.single_observation_space, self._env_obs, room)
            except (TypeError, ValueError, LookupError):
                self._check_observations()
                raise
        batch: Any = np.empty_like(self._observations)
        shape: Any = batch.shape[1:]
        observations: list[Any] = self._env_obs
        for i, observation in enumerate(observations):  # 2 µs sooner than concatenate
            if shape and getattr(observation, "shape", None) != shape and np.shape(observation) != shape:
                found, env = np.shape(observation), self.envs[i]  # which would be repeated until it has the space's
                raise UserError(f"{env} observes {found}, its observation_space says {shape}: correct either")
            batch[i] = observation
        return batch

    def _check_observations(self) -> None:
        """Raises UserError for observations of other parts or shapes than the space has, and for such as would lose
        what they say, such as floats among whole numbers."""
        whole = self.single_observation_space
        for env, observation in zip(self.envs, self._env_obs):
            try:
                parts = [(space, np.asarray(part)) for space, part in _parts(whole, observation)]
            except (TypeError, ValueError, LookupError):  # not the parts of a Dict, or rows of several lengths
                told = f"{env} observes {observation!r:.100}, its observation_space says {whole}"
                raise UserError(f"{told}: correct either") from None
            for space, part in parts:
                shape = space.shape or ()
                found: Any = part.shape if part.shape != shape and (shape or part.size != 1) else part.dtype
                if found is part.dtype and np.can_cast(found, space.dtype, "same_kind"):
                    continue
                says = space.dtype if found is part.dtype else shape
                raise UserError(f"{env} observes {found}, its observation_space says {says}: correct either")


def _begun(env: gym.Env, returned: Any) -> tuple[Any, dict[str, Any]]:
    """What a reset returned; raises UserError unless it is an observation and a dict."""
    if not isinstance(returned, tuple | list) or len(returned) != 2 or not isinstance(returned[1], dict):
        raise UserError(f"{env} gives {returned!r:.100} for a reset: return an observation and a dict, {{}} at least")
    return returned[0], returned[1]


def _parts(space: Any, observation: Any) -> Iterator[tuple[Any, Any]]:
    """The parts of an observation that are arrays, each with its space."""
    if isinstance(space, Dict | Tuple):
        for key, part in space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces):
            yield from _parts(part, observation[key])
    elif isinstance(space, ARRAYS):
        yield space, observation
