"""The acting half of an agent: observations in, actions out, in NumPy or for images on the engine; and evaluation."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from threadpoolctl import threadpool_limits

from rlzoo import envs
from rlzoo.backend import Engine
from rlzoo.errors import UserError
from rlzoo.nn import Layout
from rlzoo.policies.encoders import is_image
from rlzoo.policies.spaces import to_plain
from rlzoo.training.evaluate import Evaluation, evaluate

APART = 2**31  # what tells the seeds of evaluation and of `act` from those of learning


class Actor:
    """Acts by a policy whose parameters are one flat vector. Everything named here is set up by `Agent`."""

    env: Any
    engine: Engine
    seed: int
    observation_space: gym.Space
    action_space: gym.Space
    observation_dtype: Any
    policy: Any
    layout: Layout
    state: dict[str, Any]
    normalizers: dict[str, Any]

    def _sync(self) -> None:
        """Bring the parameters to NumPy, where they act: into `flat`, which `params` are views of."""
        flat = self.engine.to_numpy(self.state["parameters"])
        if not hasattr(self, "flat"):
            self.flat, self.params = flat, self.layout.split(flat)
        np.copyto(self.flat, flat)

    @cached_property
    def _acts_on_engine(self) -> bool:
        """Image policies act on the engine, vector policies in NumPy."""
        return is_image(self.observation_space) and self.engine.learns

    @cached_property
    def _compiled_policy(self) -> dict[str, Any]:
        def on_engine(act: Any) -> Any:
            return self.engine.compile(lambda flat, *arguments: act(self.layout.split(flat), *arguments))

        return {"mode": on_engine(self.policy.mode), "sample": on_engine(getattr(self.policy, "sample", None))}

    def mode(self, observation: np.ndarray) -> np.ndarray:
        """Deterministic actions of the distribution's own kind for prepared observations `[N, ...]`."""
        if self._acts_on_engine:
            return self.engine.to_numpy(self._compiled_policy["mode"](self.state["parameters"], observation))
        return self.policy.mode(self.params, observation)

    def sample(self, observation: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Exploring actions of the distribution's own kind for prepared observations `[N, ...]`."""
        if self._acts_on_engine:
            return self.engine.to_numpy(self._compiled_policy["sample"](self.state["parameters"], observation, noise))
        return self.policy.sample(self.params, observation, noise)

    def explore(self, observation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Stochastic actions for prepared observations, with noise from `rng`."""
        return self.sample(observation, self.policy.noise(rng, (len(observation),)))

    def act(self, observation: Any, deterministic: bool = True) -> np.ndarray:
        """The environment's action for one observation, or for a batch of them; NumPy in, NumPy out.

        Raises UserError if the observation does not have the space's shape. Stochastic actions draw on a generator of
        their own: acting never changes a run.
        """
        return self._act(observation, None if deterministic else self._acting_rng)

    @cached_property
    def _acting_rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, APART, 1])

    def _act(self, observation: Any, rng: np.random.Generator | None) -> np.ndarray:
        observation = np.asarray(observation)
        shape = self.observation_space.shape or ()
        one = observation.shape == shape
        if not one and observation.shape[1:] != shape:
            raise UserError(f"observation of shape {observation.shape} is not valid: expected {shape} or (N, *{shape})")
        rows = self._prepared(observation[None] if one else observation)
        action = self.mode(rows) if rng is None else self.explore(rows, rng)
        action = self.policy.head.to_env(action)
        return action[0] if one else action

    def _prepared(self, observation: np.ndarray) -> np.ndarray:
        normalize = self.normalizers.get("observation")
        return observation.astype(self.observation_dtype) if normalize is None else normalize(observation)

    def evaluate(
        self, episodes: int = 20, *, seed: int | None = None, deterministic: bool = True, env: Any = None
    ) -> Evaluation:
        """Play whole episodes in an environment of its own, seeded apart from training; training is not disturbed."""
        if isinstance(episodes, bool) or not isinstance(episodes, int | np.integer) or episodes < 1:
            raise UserError(f"episodes = {episodes!r} is not valid: a whole number of at least 1")
        seed = int(np.random.SeedSequence([self.seed, APART]).generate_state(1)[0] >> 1) if seed is None else seed
        rng = None if deterministic else np.random.default_rng(seed)
        vector_env = envs.make_separate(self._environment() if env is None else env, min(episodes, 10))
        try:
            self._check_fit(vector_env)
            with threadpool_limits(1, user_api="blas"):
                return evaluate(lambda observation: self._act(observation, rng), vector_env, episodes, seed)
        finally:
            vector_env.close()

    def _environment(self) -> Any:
        """What to make environments of; raises UserError where a checkpoint names a module that nobody vouched for."""
        if self.env is None:
            raise UserError("this agent was loaded without an environment: load(path, env=…) names or passes one")
        return self.env

    def _check_fit(self, env: VectorEnv) -> None:
        """Raises UserError unless an environment has the spaces that the agent was made for."""
        kinds = {
            "observation": (env.single_observation_space, self.observation_space),
            "action": (env.single_action_space, self.action_space),
        }
        for kind, (found, expected) in kinds.items():
            if _outline(found) != _outline(expected):
                raise UserError(
                    f"the agent does not fit {envs.name_of(env)}: its {kind} space is {expected}, not {found}"
                )


def _outline(space: gym.Space) -> dict[str, Any]:
    """What of a space the networks depend on."""
    return {name: value for name, value in to_plain(space).items() if name not in ("low", "high", "dtype")}
