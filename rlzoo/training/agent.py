"""What every agent is: environments, a policy, the compiled update, the learn loop, evaluation and checkpoints.

A subclass gives its networks (`build_policy`), its learning phase (`phase`) and its pure `update`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from threadpoolctl import threadpool_limits

from rlzoo import envs
from rlzoo.backend import Engine
from rlzoo.errors import UserError
from rlzoo.nn import Layout
from rlzoo.policies.encoders import is_image
from rlzoo.policies.normalizers import ObservationNormalizer, RewardNormalizer
from rlzoo.training import checkpoint
from rlzoo.training.callbacks import Callback, StopTraining
from rlzoo.training.collect import Collector, Episodes
from rlzoo.training.config import Config, Resolved, resolve
from rlzoo.training.evaluate import Evaluation, evaluate
from rlzoo.training.profile import Profile

LOG_EVERY = 1000  # environment steps between rows of metrics, at least


class Agent(ABC):
    """An agent of one algorithm in one kind of environment, learning on one engine.

    `env` is a Gymnasium id, "package.module:EnvId", or an Env or VectorEnv object. Hyperparameters not given are those
    published for the environment (`rlzoo show`). Raises UserError for whatever does not fit.
    """

    name: ClassVar[str]
    Config: ClassVar[type[Config]]
    metrics: ClassVar[tuple[str, ...]]  # what `update` reports, in this order

    def __init__(
        self,
        env: str | gym.Env | VectorEnv,
        *,
        backend: str | None = None,
        device: str = "auto",
        seed: int = 0,
        eager: bool = False,
        **hyperparameters: Any,
    ):
        if isinstance(env, VectorEnv | gym.Env):
            hyperparameters["n_envs"] = getattr(env, "num_envs", 1)
        resolved = resolve(self.name, self.Config, envs.name_of(env), envs.family_of(env), hyperparameters)
        vector_env = envs.make(env, resolved.config.n_envs)
        spaces = vector_env.single_observation_space, vector_env.single_action_space
        self._set_up(env, spaces, resolved, Engine(backend, device, eager), seed)
        self.environment_name = envs.name_of(env)
        self.vector_env = vector_env

    def _set_up(self, env: Any, spaces: Any, resolved: Resolved, engine: Engine, seed: int) -> None:
        self.env, self.resolved, self.engine, self.seed = env, resolved, engine, int(seed)
        self.config: Any = resolved.config
        self.observation_space, self.action_space = spaces
        self.rng = np.random.default_rng(self.seed)
        self.policy = self.build_policy(self.observation_space, self.action_space)
        params = self.initial_params(self.rng)
        self.layout = Layout(params)
        self.state = self.initial_state(self.layout.flatten(params))
        self.observation_dtype = _stored_dtype(self.observation_space.dtype)
        self.normalizers = self._normalizers()
        if self.normalizers.get("observation") is not None:
            self.observation_dtype = np.float32
        self.steps = 0  # environment steps taken, over all environments
        self.total_steps = self.config.steps  # what schedules are stretched over
        self.episodes = Episodes(self.config.n_envs)
        self.last_metrics: dict[str, float] = {}
        self.profile = Profile()
        self._callbacks: Sequence[Callback] = ()
        self._must_reset = True
        self._logged_at = 0
        self._sync()

    # ---- what a subclass gives ---------------------------------------------------------------------------------------
    @abstractmethod
    def build_policy(self, observation_space: gym.Space, action_space: gym.Space) -> Any:
        """The networks and the head; raises UserError for spaces the algorithm cannot act in."""

    @abstractmethod
    def initial_state(self, flat: np.ndarray) -> dict[str, Any]:
        """The state of learning, NumPy arrays, "parameters" among them."""

    @abstractmethod
    def update(self, state: dict[str, Any], *data: Any) -> tuple[dict[str, Any], Any]:
        """The compiled call: the next state, and the metrics as one vector in the order of `metrics`."""

    @abstractmethod
    def phase(self) -> Any:
        """Collect experience, learn from it, and give the metrics vector (an engine's array) or None."""

    def initial_params(self, rng: np.random.Generator) -> dict[str, Any]:
        """The named parameters before learning."""
        return self.policy.init(rng)

    def _normalizers(self) -> dict[str, Any]:
        shape = self.observation_space.shape or ()
        made: dict[str, Any] = {}
        if self.config.normalize_observation:
            if not isinstance(self.observation_space, gym.spaces.Box) or is_image(self.observation_space):
                raise UserError(f"normalize_observation is for vectors of numbers, not for {self.observation_space}")
            made["observation"] = ObservationNormalizer(shape)
        if self.config.normalize_reward:
            made["reward"] = RewardNormalizer(self.config.n_envs, self.config.gamma)
        return made

    # ---- learning ----------------------------------------------------------------------------------------------------
    def learn(self, steps: int | None = None, *, callbacks: Sequence[Callback] = (), progress: bool = False) -> Self:
        """Train for `steps` more environment steps; without, to the end of the budget (config field `steps`).

        Schedules stretch over all steps taken by the end. With `progress`, a live line is printed.
        """
        if self.engine.name == "numpy":
            raise UserError("numpy acts but does not learn: load the agent with backend='jax' (or torch, …)")
        if steps is not None and (isinstance(steps, bool) or int(steps) != steps or steps < 1):
            raise UserError(f"steps = {steps!r} is not valid: a whole number of at least 1")
        if steps is not None:
            self.total_steps = self.steps + int(steps)
        elif self.steps >= self.total_steps:
            self.total_steps = self.steps + self.config.steps
        if progress:
            from rlzoo.training.progress import ProgressLine

            callbacks = [*callbacks, ProgressLine()]
        self._callbacks = callbacks
        self.profile.start(self.steps)
        self._logged_at = self.steps
        with threadpool_limits(1, user_api="blas"):  # NumPy's small products; the engines have threads of their own
            self._tell("on_start")
            try:
                while self.steps < self.total_steps:
                    self._one_phase()
            except StopTraining:
                pass
            finally:
                self._tell("on_end")
                self._callbacks = ()
        return self

    def _one_phase(self) -> None:
        if self._must_reset:
            self.collector.reset(self._environment_seed())
            self._must_reset = False
        before = self.steps
        metrics = self.phase()
        every = self.config.checkpoint_every or max(self.total_steps // 10, 1)
        at_checkpoint = self.steps // every > before // every or self.steps >= self.total_steps
        with self.profile("log"):
            if metrics is not None and (self.steps - self._logged_at >= LOG_EVERY or self.steps >= self.total_steps):
                self.last_metrics = dict(zip(self.metrics, self.engine.to_numpy(metrics).tolist(), strict=True))
                self._logged_at = self.steps
                self.log(self.last_metrics)
            if at_checkpoint:
                self._must_reset = True
                self._tell("on_checkpoint")
            self._tell("on_steps")

    def _environment_seed(self) -> int:
        """The rule by which environments are seeded at the start and at each checkpoint: by seed and steps alone."""
        return int(np.random.SeedSequence([self.seed, self.steps]).generate_state(1)[0] >> 1)

    def _tell(self, event: str, *arguments: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(self, *arguments)

    def log(self, values: dict[str, float]) -> None:
        """Tell the callbacks a row: these values, the steps, the speed, recent returns and where the time went."""
        episodes = self.episodes
        record: dict[str, float] = {"steps": self.steps, **self.profile.record(self.steps), "episodes": episodes.finished}
        if episodes.returns:
            record["episode_return"] = float(np.mean(episodes.returns))
            record["episode_length"] = float(np.mean(episodes.lengths))
        self._tell("on_log", record | values)

    def columns(self) -> list[str]:
        """Every name a row may have, in the order of `metrics.csv`."""
        return [
            "steps", "seconds", "steps_per_second", "episodes", "episode_return", "episode_length",
            "evaluation_return", "evaluation_std", *self.metrics, *Profile.columns,
        ]  # fmt: skip

    @cached_property
    def collector(self) -> Collector:
        """The acting side, made when first needed: a loaded agent acts without an environment."""
        if not hasattr(self, "vector_env"):
            self.vector_env = envs.make(self._environment(), self.config.n_envs)
        stepper = envs.Stepper(self.vector_env)
        normalizers = self.normalizers.get("observation"), self.normalizers.get("reward")
        return Collector(stepper, self.episodes, self.observation_dtype, *normalizers)

    @cached_property
    def compiled_update(self) -> Any:
        return self.engine.compile(self.update, donate=True)

    def scalars(self) -> dict[str, np.float32]:
        """The scheduled hyperparameters now, as arrays, so that tracing does not freeze them."""
        values = self.config.scalars(self.steps / self.total_steps)
        return {name: np.float32(value) for name, value in values.items()}

    def _sync(self) -> None:
        """Bring the parameters to NumPy, where they act."""
        self.flat = self.engine.to_numpy(self.state["parameters"])
        self.params = self.layout.split(self.flat)

    # ---- acting ------------------------------------------------------------------------------------------------------
    @cached_property
    def _acts_on_engine(self) -> bool:
        """Image policies act on the engine, vector policies in NumPy."""
        return is_image(self.observation_space) and self.engine.name != "numpy"

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

        Raises UserError if the observation does not have the space's shape. Stochastic actions draw on the run's
        generator.
        """
        return self._act(observation, None if deterministic else self.rng)

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
        if isinstance(episodes, bool) or episodes < 1:
            raise UserError(f"episodes = {episodes!r} is not valid: at least 1")
        seed = int(np.random.SeedSequence([self.seed, 2**31]).generate_state(1)[0] >> 1) if seed is None else seed
        rng = None if deterministic else np.random.default_rng(seed)
        vector_env = envs.make_separate(self._environment() if env is None else env, min(episodes, 10))
        try:
            with threadpool_limits(1, user_api="blas"):
                return evaluate(lambda observation: self._act(observation, rng), vector_env, episodes, seed)
        finally:
            vector_env.close()

    def _environment(self) -> Any:
        """What to make environments of; raises UserError where a checkpoint names a module that nobody vouched for."""
        if self.env is None:
            raise UserError("this agent was loaded without an environment: load(path, env=…) names or passes one")
        return self.env

    # ---- saving ------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path, replay: bool = False) -> Path:
        """Write a checkpoint folder at `path`, replacing an older checkpoint there only once it is whole.

        `replay` includes the replay buffer, which exact resuming of an off-policy agent needs.
        """
        return checkpoint.save(self, path, replay)

    def arrays(self, replay: bool = False) -> dict[str, Any]:
        """All arrays that the next step depends on, as a nested dict of NumPy arrays."""
        moments = {name: part.moments.arrays() for name, part in self.normalizers.items()}
        return {"state": self.engine.to_numpy(self.state), "normalizers": moments}

    def restore(self, manifest: dict[str, Any], arrays: dict[str, Any]) -> None:
        """Take over what a checkpoint holds."""
        self.state = arrays["state"]
        for name, part in self.normalizers.items():
            part.moments.restore(arrays["normalizers"][name])
        self.steps, self.total_steps = manifest["steps"], manifest["total_steps"]
        self.rng.bit_generator.state = manifest["generator"]
        self.episodes.restore(manifest["episodes"])
        self._sync()


def _stored_dtype(dtype: Any) -> Any:
    """The type observations are kept and learned in: pixels stay bytes, integers int32, all else float32."""
    if dtype == np.uint8:
        return np.uint8
    return np.int32 if np.issubdtype(dtype, np.integer) else np.float32
