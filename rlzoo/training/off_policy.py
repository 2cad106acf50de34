"""The off-policy loop: a few steps of every environment into the replay, then K gradient steps in one compiled call."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, field_validator, model_validator

from rlzoo.backend import ops, tree
from rlzoo.buffers import HindsightReplay, Priorities, ReplayBuffer, RolloutBuffer
from rlzoo.buffers.hindsight import STRATEGIES
from rlzoo.errors import UserError
from rlzoo.nn.schedules import Schedule, ScheduledShare
from rlzoo.training.agent import Agent
from rlzoo.training.capacity import warn_unless_it_fits
from rlzoo.training.config import Config, one_of
from rlzoo.training.goals import goals_in, rewards_of

Array = Any


class OffPolicyConfig(Config):
    """What every off-policy algorithm has."""

    outside: ClassVar = Config.outside | {"tau", "importance_exponent"}
    sequenced: ClassVar[tuple[str, ...]] = ("batch_size",)
    only_with: ClassVar[dict[str, str]] = {
        "priority_exponent": "prioritized", "importance_exponent": "prioritized", "hindsight_share": "hindsight",
    }  # fmt: skip

    buffer_size: int = Field(1_000_000, ge=1)
    """Transitions that the replay buffer holds."""
    learning_starts: int = Field(100, ge=0)
    """Environment steps before the first update, taken with random actions."""
    train_freq: int = Field(1, ge=1)
    """Steps of each environment between updates."""
    gradient_steps: int = Field(1, ge=-1)
    """Gradient steps an update; −1 makes as many as environment steps were taken since the last."""
    batch_size: int = Field(256, ge=1)
    """Transitions a gradient step."""
    tau: ScheduledShare = Schedule(0.005, 0.005)
    """Share of the online parameters that a target update mixes in; 1 copies them."""
    target_update_interval: int = Field(0, ge=0)
    """Environment steps between target updates; 0 updates the target after every gradient step."""
    n_step: int = Field(1, ge=1)
    """Rewards summed before the target's value stands for the rest."""
    prioritized: bool = False
    """Draw transitions by their last TD error, and weigh them for it."""
    priority_exponent: float = Field(0.6, ge=0.0, le=1.0)
    """How much priorities count (α): 0 draws uniformly."""
    importance_exponent: ScheduledShare = Schedule(0.4, 1.0, 1.0, "linear")
    """How much of the bias of drawing by priority is undone (β): 1 undoes all."""
    hindsight: str | None = None
    """Learn again with goals that were reached, drawn from the episode: future, final, episode or none."""
    hindsight_share: float = Field(0.8, ge=0.0, le=1.0)
    """Share of transitions whose goal is replaced by one that was reached."""

    @field_validator("tau")
    @classmethod
    def _tau(cls, value: Schedule) -> Schedule:
        if value.start == 0.0:
            raise ValueError("it must be between 0 and 1, and above 0 at the start")
        return value

    @field_validator("hindsight")
    @classmethod
    def _hindsight(cls, value: str | None) -> str | None:
        return one_of(value, (*STRATEGIES, "none"))

    @model_validator(mode="after")
    def _gradient_steps(self) -> OffPolicyConfig:
        if self.gradient_steps == 0:
            raise ValueError("gradient_steps = 0 learns nothing: give at least 1, or −1")
        if self.buffer_size < self.length * self.n_envs:
            told = f"buffer_size = {self.buffer_size} holds no sequence: {self.length} steps × {self.n_envs}"
            raise ValueError(f"{told}; raise it")
        return self


class OffPolicyAgent(Agent):
    """Collects `train_freq` steps of every environment, then calls `update(state, inputs, scalars)`.

    `inputs` has a leading axis of K gradient steps: "batch" the transitions, "tau" the share of each target update,
    "noise" what `noise_of_update` draws.
    """

    def _set_up(self, *arguments: Any, **keywords: Any) -> None:
        super()._set_up(*arguments, **keywords)
        if self.config.hindsight is not None:
            goals_in(self)

    def noise_of_update(self, shape: tuple[int, int]) -> dict[str, Any]:
        """Noise as data for `shape = (K, batch_size)` transitions."""
        return {}

    def gradient_step(self, state: dict[str, Any], inputs: Any, scalars: Any) -> tuple[dict[str, Any], Any]:
        """One gradient step, pure: the next state, and `self.report(metrics, td_error)`."""
        raise NotImplementedError

    def update(self, state: dict[str, Any], inputs: Any, scalars: Any) -> Any:
        """K gradient steps: the state, the mean of their metrics, and with priorities each row's TD error `[K, B]`."""
        state, report = ops.fold(self.gradient_step, state, inputs, scalars)
        wanted = ["metrics", "td_error"] if self.config.prioritized else ["metrics"]
        given = list(report) if isinstance(report, dict) else "no dict"
        if not set(wanted) <= set(given):
            raise UserError(f"gradient_step reports {given}, not {wanted}: report by self.report(metrics, td_error)")
        if self.config.prioritized:
            shape, rows = tuple(report["td_error"].shape[1:]), tuple(inputs["batch"]["reward"].shape[1:])
            if shape != rows:
                raise UserError(f"the TD error has shape {shape}, not {rows}: report one number for each row")
        return state, report | {"metrics": ops.mean(report["metrics"], 0)}

    def report(self, metrics: Array, td_error: Array) -> dict[str, Array]:
        """What a gradient step says: its metrics, and where priorities want it the TD error of each row, `[B]`.

        Raises UserError where there is not one error a row, which would give rows each other's priorities.
        """
        if len(td_error.shape) != 1:
            raise UserError(f"the TD error has shape {tuple(td_error.shape)}, not (B,): report one number for each row")
        return {"metrics": metrics} | ({"td_error": td_error} if self.config.prioritized else {})

    @property
    def stored(self) -> tuple[Any, np.ndarray]:
        """An example of what the replay keeps of a step: what is seen, before it is normalized, and the action."""
        return self.policy.trunk.example("observation" in self.normalizers, raw=True), super().stored[1]

    @cached_property
    def replay(self) -> ReplayBuffer:
        c = self.config
        priorities = None
        if c.prioritized:
            priorities = Priorities(max(c.buffer_size // c.n_envs, 1) * c.n_envs, c.priority_exponent)
        arguments = c.buffer_size, c.n_envs, *self.stored, c.gamma, c.n_step, c.length, priorities
        try:
            if c.hindsight is None:
                replay = ReplayBuffer(*arguments, frames=c.frame_stack)
            else:
                made = dict(strategy=c.hindsight, share=c.hindsight_share, goals=goals_in(self))
                replay = HindsightReplay(*arguments, **made)
        except MemoryError as error:
            raise UserError(f"buffer_size = {c.buffer_size} does not fit into memory ({error}): lower it") from None
        warn_unless_it_fits("buffer_size", c.buffer_size, replay.nbytes)
        return replay

    @cached_property
    def rollout(self) -> RolloutBuffer:
        return RolloutBuffer(self.config.train_freq, self.config.n_envs, *self.stored)

    def phase(self) -> Any:
        before = self.steps
        self._collect()
        if not self._has_begun:
            return None
        with self.profile("update"):
            k = self.config.gradient_steps
            inputs = self._inputs(self.steps - before if k < 0 else k, before)
            with self.whole:
                self.state, report = self.compiled_update(self.state, inputs, self.scalars())
                self._sync()
            if self.replay.priorities is not None:
                self.replay.priorities.update(self.engine.to_numpy(report["td_error"]))
        return report["metrics"]

    @property
    def _has_begun(self) -> bool:
        """Whether `learning_starts` steps were taken, and as many are at hand: an agent may be loaded without them."""
        first = max(self.config.learning_starts, 1)
        return self.steps >= first and len(self.replay) >= min(first, self.replay.capacity) and self.replay.is_ready

    def _inputs(self, k: int, before: int) -> dict[str, Any]:
        shape = (k, self.config.batch_size)
        if self.replay.priorities is not None:
            self.replay.priorities.beta = self.config.importance_exponent(self.steps / self.total_steps)
        batch = self.replay.sample(self.rng, shape)
        if "observation" in self.normalizers:
            batch |= {name: self._normalized(batch[name]) for name in ("observation", "next_observation")}
        if "reward" in self.normalizers:
            batch["reward"] = self.normalizers["reward"](batch["reward"])
        return {"batch": batch, "tau": self._taus(k, before), "noise": self.noise_of_update(shape)}

    def _normalized(self, seen: Any) -> Any:
        normalize = self.normalizers["observation"]
        return seen | {"observation": normalize(seen["observation"])} if self.policy.trunk.cell else normalize(seen)

    def _taus(self, k: int, before: int) -> np.ndarray:
        """How much of the online parameters the target takes over at the end of each of the K gradient steps."""
        interval, tau = self.config.target_update_interval, self.config.tau(self.steps / self.total_steps)
        if interval == 0:
            return np.full(k, tau, np.float32)
        taus = np.zeros(k, np.float32)
        taus[-1] = tau if self.steps // interval > before // interval else 0.0
        return taus

    def _collect(self) -> None:
        """Into the replay: random actions until `learning_starts`, then the policy's."""
        n_steps, n_envs, head = self.config.train_freq, self.config.n_envs, self.policy.head
        n_random = min(max(-(-(self.config.learning_starts - self.steps) // n_envs), 0), n_steps)
        masked = self.config.action_masks
        draw = head.distribution.noise if masked else head.random
        random = draw(self.rng, (n_random, n_envs)) if n_random else ()
        noise: Any = self.policy.noise(self.rng, (n_steps - n_random, n_envs)) if n_random < n_steps else ()

        def choose(t: int, seen: Any) -> tuple[np.ndarray, Any]:
            if t < n_random:
                action = head.random_among(random[t], self.policy.trunk.mask(seen)) if masked else random[t]
                remembered = None if self.collector.memory is None else self.mode(seen)[1]
            else:
                action, remembered = self.sample(seen, self.collector.exploration(tree.at(noise, t - n_random)))
            self.steps += n_envs
            return action, remembered

        before = self.steps
        try:
            self.collector.fill(self.rollout, choose, head.to_env, self.profile.seconds, raw=True)
        except BaseException:
            self.steps = before  # the replay gets none of them
            raise
        with self.whole:
            self.replay.add(self.rollout.transitions())

    def _reset(self) -> None:
        super()._reset()
        if isinstance(self.replay, HindsightReplay) and self.replay.compute_reward is None:
            self.replay.compute_reward, self.replay.compute_terminated = rewards_of(self)
        self.replay.every_step_counts &= self.collector.stepper.every_step_counts
        self.replay.cut()

    def arrays(self, replay: bool = False) -> dict[str, Any]:
        return super().arrays() | ({"replay": self.replay.arrays()} if replay else {})

    def restore(self, manifest: dict[str, Any], arrays: dict[str, Any]) -> None:
        super().restore(manifest, arrays)
        if "replay" in arrays:
            self.replay.restore(arrays["replay"])

