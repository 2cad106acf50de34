"""Environments stepped by EnvPool, in C++ (https://envpool.readthedocs.io); imported only where it is asked for."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlzoo.errors import UserError, installing

LARGEST = 2**31 - 1  # EnvPool counts steps and seeds in int32
MEND = "leave vectorization at auto, or set it to sync"


class EnvPoolVectorEnv(VectorEnv):
    """`num_envs` environments of a Gymnasium id in EnvPool, each reset in the step that ended its episode.

    Two ways of EnvPool's are changed. It spends a step on a reset: here finished environments are reset at once. It
    takes a terminal state for a mere cut-off where both fall on the same step: here the time limit is counted by us.
    Its seeds are fixed when a pool is made, so a reset with a seed makes a new one: environment i of `seed + i`.

    Raises UserError where EnvPool is missing, lacks the id, or observes or acts in another space than Gymnasium's.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    form = "envpool"

    def __init__(self, spec: EnvSpec, num_envs: int):
        try:
            import envpool
        except ImportError as error:
            raise UserError(
                f"vectorization=envpool needs EnvPool ({error}): {installing('envpool')}, or {MEND}"
            ) from None
        if spec.id not in envpool.list_all_envs() or spec.entry_point is None or spec.additional_wrappers:
            raise UserError(f"EnvPool does not have {spec.id}: {MEND}")
        if spec.kwargs != gym.spec(spec.id).kwargs:
            raise UserError(f"EnvPool's {spec.id} does not take the arguments {spec.kwargs}: {MEND}")
        with gym.make(spec) as one:
            self.single_observation_space, self.single_action_space = one.observation_space, one.action_space
        with warnings.catch_warnings():  # of bounds that lose precision
            warnings.simplefilter("ignore")
            theirs = envpool.make_spec(spec.id)
            spaces = theirs.gymnasium_observation_space, theirs.gymnasium_action_space
        for own, other in zip((self.single_observation_space, self.single_action_space), spaces):
            if own.shape != other.shape if isinstance(own, Box) and isinstance(other, Box) else own != other:
                raise UserError(f"EnvPool's {spec.id} differs from Gymnasium's, it has {other}, not {own}: {MEND}")
        self.spec, self.num_envs, self.id = spec, num_envs, spec.id
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.envpool: Any = envpool
        self.pool: Any = None
        self.limit = LARGEST if spec.max_episode_steps is None else spec.max_episode_steps

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        """Start an episode in every environment. Without a seed the environments go on with the numbers they draw."""
        if seed is None and self.pool is None:
            seed = int(self.np_random.integers(LARGEST))
        if seed is not None:
            seeds = [(int(seed) + i) % LARGEST for i in range(self.num_envs)]
            self.pool = self._make_pool(seeds)
        return self._begin(), {}

    def step(self, actions: Any) -> Any:
        if self.pool is None:
            raise gym.error.ResetNeeded("call reset before step")
        observation, reward, terminated, _, told = self.pool.step(np.asarray(actions))
        observation = observation.astype(self.single_observation_space.dtype, copy=False)
        truncated = told["elapsed_step"] >= self.limit
        done = terminated | truncated
        info: dict[str, Any] = {}
        if np.count_nonzero(done):
            info = {"final_obs": observation.copy(), "_final_obs": done}
            observation[done] = self._begin(done.nonzero()[0].astype(np.int32))
        return observation, reward, terminated, truncated, info

    def _make_pool(self, seeds: list[int]) -> Any:
        limit = min(self.limit + 1, LARGEST)  # never reached
        with warnings.catch_warnings():  # of bounds that lose precision
            warnings.simplefilter("ignore")
            pool = self.envpool.make_gymnasium(self.id, num_envs=self.num_envs, seed=seeds, max_episode_steps=limit)
            _ = pool.observation_space, pool.action_space  # made when first asked for, which its first step would do
        return pool

    def _begin(self, which: np.ndarray | None = None) -> np.ndarray:
        """The first observations of new episodes, in all environments or in these."""
        return self.pool.reset(which)[0].astype(self.single_observation_space.dtype, copy=False)

    def close_extras(self, **kwargs: Any) -> None:
        self.pool = None  # its threads end with it
