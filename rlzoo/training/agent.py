"""What every agent is: environments, a policy, the compiled update, the learn loop, evaluation and checkpoints.

A subclass gives its networks (`build_policy`), its learning phase (`phase`) and its pure `update`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from rlzoo import envs
from rlzoo.backend import Engine
from rlzoo.errors import UserError, number, warn, whole_number
from rlzoo.nn import Layer, Layout
from rlzoo.policies import Trunk
from rlzoo.policies.encoders import encoder_for
from rlzoo.policies.normalizers import normalizers
from rlzoo.training import checkpoint
from rlzoo.training.acting import Actor
from rlzoo.training.callbacks import Callback, StopTraining, checked, tell
from rlzoo.training.collect import Collector, Episodes
from rlzoo.training.config import Config
from rlzoo.training.contract import check_metrics, checked_state, named_metrics
from rlzoo.training.evaluate import LONGEST
from rlzoo.training.loggers import LATER
from rlzoo.training.profile import Profile
from rlzoo.training.resolve import Resolved, resolve
from rlzoo.training.signature import NamedHyperparameters
from rlzoo.training.threads import one_blas_thread

LOG_EVERY = 1000  # environment steps between rows of metrics, at least
COLUMNS = (
    "steps", "seconds", "steps_per_second", "episodes", "episode_return", "episode_length",
    "evaluation_return", "evaluation_std",
)  # fmt: skip


class Agent(Actor, ABC):
    """An agent of one algorithm in one kind of environment, learning on one engine."""

    __signature__ = NamedHyperparameters()
    name: ClassVar[str]
    Config: ClassVar[type[Config]]
    metrics: ClassVar[tuple[str, ...]]  # what `update` reports, in this order
    twins: ClassVar[bool] = False  # whether actor and critic remember each for itself
    _is_learning = False

    def __init__(
        self, /, env: str | gym.Env | VectorEnv, *, backend: str | None = None, device: str = "auto", seed: int = 0,
        eager: bool = False, **hyperparameters: Any,
    ):  # fmt: skip
        """`env` is a Gymnasium id, "package.module:EnvId", or an Env or VectorEnv object.

        Hyperparameters not given are those published for the environment: `rlzoo show` prints them, and `help` of the
        class's `Config`, such as `help(PPO.Config)`, says what each is. Raises UserError for whatever does not fit.
        """
        if isinstance(env, VectorEnv | gym.Env):
            found = getattr(env, "num_envs", 1)
            asked = hyperparameters.setdefault("n_envs", found)
            if str(asked) != str(found):
                raise UserError(f"n_envs = {asked!r} does not fit {envs.name_of(env)}, which is {found}: leave it out")
        seed = whole_number("seed", seed, least=0)
        resolved = resolve(self.name, self.Config, envs.name_of(env), envs.family_of(env), hyperparameters)
        self.config = resolved.config
        vector_env = self._environments(env)
        spaces = vector_env.single_observation_space, vector_env.single_action_space
        self._set_up(env, spaces, resolved, Engine(backend, device, eager), seed)
        self.environment_name = envs.name_of(env)
        self.vector_env = vector_env

    def _set_up(
        self, env: Any, spaces: Any, resolved: Resolved, engine: Engine, seed: int,
        rng: np.random.Generator | None = None,
    ) -> None:  # fmt: skip
        """Make everything but the environments. `rng` draws the weights where they are soon replaced, at loading."""
        self._env, self.resolved, self.engine, self.seed = env, resolved, engine, seed
        self.config: Any = resolved.config
        self.observation_space, self.action_space = spaces
        self.rng = np.random.default_rng(self.seed)
        self.policy = self.build_policy(self.observation_space, self.action_space)
        with one_blas_thread():  # several, in QR, wait busily for cores that others have: 27 s for 0.3 beside two
            params = self.initial_params(self.rng if rng is None else rng)
        self.layout = Layout(params)
        self.state = checked_state(type(self).__name__, self.initial_state(self.layout.flatten(params)))
        check_metrics(type(self).__name__, getattr(self, "metrics", None), [*COLUMNS, *LATER, *Profile.columns])
        self.normalizers = normalizers(self.observation_space, self.config)
        self.steps = 0  # environment steps taken, over all environments
        self.total_steps = self.config.steps  # what schedules are stretched over
        self.episodes = Episodes(self.config.n_envs)
        self.last_metrics: dict[str, float] = {}
        self.profile = Profile()
        self._callbacks: Sequence[Callback] = ()
        self._must_reset = True
        self._logged_at = self._checkpoint_at = 0
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
        """The compiled call: the next state, and what it reports, the metrics as one vector in the order of `metrics`.

        Off-policy they are in a dict, as "metrics", beside what priorities are made of.
        """

    @abstractmethod
    def phase(self) -> Any:
        """Collect experience, learn from it, and give the metrics vector (an engine's array) or None."""

    def trunk(self, observation_space: gym.Space) -> Trunk:
        """The encoder of these observations, with the memory and the masks that the config asks for."""
        c, space = self.config, observation_space
        encoder = self.encoder(space["observation"] if c.action_masks else space)  # type: ignore[index]
        return Trunk.of(space, c.recurrent, c.recurrent_units, c.sequence_length, c.action_masks, self.twins, encoder)

    def encoder(self, observation_space: gym.Space) -> Layer:
        """The layer that makes features `[N, F]` of observations: override it to put layers of your own there."""
        return encoder_for(observation_space)

    def initial_params(self, rng: np.random.Generator) -> dict[str, Any]:
        """The named parameters before learning."""
        return self.policy.init(rng)

    # ---- learning ----------------------------------------------------------------------------------------------------
    def learn(self, steps: int | None = None, *, callbacks: Sequence[Callback] = (), progress: bool = False) -> Self:
        """Train for `steps` more environment steps; without, to the end of the budget (field `steps`), or past it.

        Schedules stretch over all steps taken by the end. Each call begins new episodes. `progress` prints a live line.
        Raises UserError where it is learning already, as in a callback or in another thread.
        """
        if self._is_learning:
            raise UserError(f"this {self.name} is learning already: call learn again when the first call is over")
        if not self.engine.learns:
            raise UserError(f"{self.engine.name} acts but does not learn: load the agent with backend='auto'")
        self.engine.check_process()
        callbacks = checked(callbacks)
        if steps is not None:
            self.total_steps = self.steps + whole_number("steps", steps)
        elif self.steps >= self.total_steps:
            budget = self.config.steps
            self.total_steps = budget if self.steps < budget else self.steps + budget
        if progress:
            from rlzoo.training.progress import ProgressLine

            callbacks = [*callbacks, ProgressLine()]
        self._callbacks = callbacks
        self.profile.start(self.steps)
        self._logged_at = self._checkpoint_at = self.steps
        with suppress(StopTraining), one_blas_thread(), self.whole.watched(), ExitStack() as ends:
            self._is_learning = True
            ends.callback(vars(self).update, _is_learning=False, _callbacks=())
            ends.enter_context(self.while_learning())
            try:
                for callback in callbacks:
                    callback.on_start(self)
                    ends.callback(callback.on_end, self)
                while self.steps < self.total_steps:
                    self._one_phase()
            except StopTraining:
                if self._checkpoint_at != self.steps:  # what stopped it shall not be lost
                    with suppress(StopTraining):
                        self._checkpoint()
            except BaseException:
                self._must_reset = True  # the environments may be in the middle of a step
                raise
        return self

    def while_learning(self) -> AbstractContextManager[None]:
        """What `learn` needs for as long as it lasts."""
        return nullcontext()

    def _one_phase(self) -> None:
        if self._must_reset:
            self._reset()
        self._whole_episodes = self._limit > 0 or bool(self.episodes.begun.all())  # each has had one
        metrics = self.phase()
        self._must_reset = at_checkpoint = self._is_checkpoint(self.steps)  # or where a callback plays in these
        with self.profile("log"):
            if at_checkpoint or self.steps - self._logged_at >= LOG_EVERY:
                self._logged_at = self.steps  # at checkpoints too, so that a resumed run logs at the same steps
                self._check_finite()
                if metrics is not None:
                    self.last_metrics = named_metrics(self.name, self.metrics, self.engine.to_numpy(metrics))
                    self.log(self.last_metrics)
            self._tell("on_steps")
            if at_checkpoint:
                self._checkpoint()

    def _reset(self) -> None:
        """Begin new episodes in every environment; those under way are given up."""
        self.collector.reset(self._environment_seed())
        self._must_reset = False

    def _is_checkpoint(self, after: int) -> bool:
        """Whether the phase that ends after so many steps ends at a checkpoint; where no limit is known, it waits."""
        asked, n_envs = self.config.checkpoint_every, self.config.n_envs
        every = asked or max(self.total_steps // 10, n_envs * self._limit, 1)
        due = after // every > self._checkpoint_at // every
        if not (asked or self._whole_episodes):
            due &= after - self._checkpoint_at >= n_envs * LONGEST
        return due or after >= self.total_steps

    def _checkpoint(self) -> None:
        waited = self.steps - self._checkpoint_at >= self.config.n_envs * LONGEST and self.steps < self.total_steps
        if waited and not (self._whole_episodes or self.config.checkpoint_every):
            mend = "state a limit by gymnasium.wrappers.TimeLimit, or set checkpoint_every"
            warn(f"an episode did not end in {LONGEST:,} steps, and all begin anew now: {mend}")
        self._must_reset, self._checkpoint_at = True, self.steps
        self._tell("on_checkpoint")

    def _environment_seed(self) -> int:
        """The rule by which environments are seeded at the start and at each checkpoint: by seed and steps alone."""
        return int(np.random.SeedSequence([self.seed, self.steps]).generate_state(1)[0] >> 1)

    def _tell(self, event: str, *arguments: Any) -> None:
        tell(self._callbacks, event, self, *arguments)

    def log(self, values: dict[str, float]) -> None:
        """Tell the callbacks a row: these values, the steps, the speed, recent returns and where the time went.

        Raises UserError for a value that is no number.
        """
        record = {"steps": self.steps, **self.profile.record(self.steps), **self.episodes.record()}
        self._tell("on_log", record | {name: number(name, value) for name, value in values.items()})

    def columns(self) -> list[str]:
        """Every name a row may have, in the order of `metrics.csv`, but for those of `loggers.LATER`."""
        own = (name for callback in self._callbacks for name in callback.columns)
        return list(dict.fromkeys([*COLUMNS, *self.metrics, *Profile.columns, *own]))

    @cached_property
    def collector(self) -> Collector:
        """The acting side, made when first needed: a loaded agent acts without an environment."""
        if not hasattr(self, "vector_env"):
            self.vector_env = self._environments(self._environment())
        self.check_fit(self.vector_env)
        if self.vector_env.num_envs != self.config.n_envs:
            raise UserError(f"the agent learns in {self.config.n_envs} environments, not in {self.vector_env.num_envs}")
        normalizers = self.normalizers.get("observation"), self.normalizers.get("reward")
        memory = None if self.policy.trunk.cell is None else self.memory(self.config.n_envs)
        return Collector(envs.Stepper(self.vector_env), self.episodes, *normalizers, self.exploration(), memory)

    @property
    def stored(self) -> tuple[Any, np.ndarray]:
        """An example of what buffers keep of a step: what is seen, and the action."""
        seen = self.policy.trunk.example("observation" in self.normalizers)
        return seen, np.zeros(self.policy.head.shape, self.policy.head.dtype)

    @cached_property
    def compiled_update(self) -> Any:
        return self.engine.compile(self.update, donate=True)

    def scalars(self) -> dict[str, np.float32]:
        """The scheduled hyperparameters now, as arrays, so that tracing does not freeze them."""
        return {name: np.float32(value) for name, value in self.config.scalars(self.steps / self.total_steps).items()}

    # ---- saving ------------------------------------------------------------------------------------------------------
    def save(self, path: str | Path, replay: bool = False) -> Path:
        """Write a checkpoint folder at `path`, replacing an older checkpoint there only once it is whole.

        `replay` includes the replay buffer, which exact resuming of an off-policy agent needs.
        """
        return checkpoint.save(self, path, replay)

    @classmethod
    def load(cls, path: str | Path, **options: Any) -> Self:
        """The agent of this class saved at `path`, with the options of `rlzoo.load`: for classes of your own too."""
        return checkpoint.load(path, lambda name: cls, **options)

    def arrays(self, replay: bool = False) -> dict[str, Any]:
        """All arrays that the next step depends on, as a nested dict of NumPy arrays."""
        moments = {name: part.arrays() for name, part in self.normalizers.items()}
        return {"state": self.engine.to_numpy(self.state), "normalizers": moments}

    def restore(self, manifest: dict[str, Any], arrays: dict[str, Any]) -> None:
        """Take over what a checkpoint holds; `arrays` are those of `arrays()` in names, order, shapes and types."""
        self.state = arrays["state"]
        for name, part in self.normalizers.items():
            part.restore(arrays["normalizers"][name])
        self.steps, self.total_steps = manifest["steps"], manifest["total_steps"]
        self.rng.bit_generator.state = manifest["generator"]
        self.episodes.restore(manifest["episodes"])
        self._sync()
