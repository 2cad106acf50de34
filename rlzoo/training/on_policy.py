"""The on-policy loop: a rollout of every environment, then one compiled update."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from inspect import signature
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rlzoo.backend import tree
from rlzoo.buffers import RolloutBuffer
from rlzoo.errors import UserError
from rlzoo.training.agent import Agent
from rlzoo.training.config import Config


class OnPolicyConfig(Config):
    """What every on-policy algorithm has."""

    sequenced: ClassVar[tuple[str, ...]] = ("n_steps",)

    n_steps: int = Field(2048, ge=1)
    """Steps of each environment in a rollout."""
    overlap: bool = False
    """Collect the next rollout while the last is learned from, with the parameters of before: one update stale."""


class OnPolicyAgent(Agent):
    """Collects `n_steps` of every environment with the current policy, then calls `update(state, rollout, …)`.

    With `overlap`, the update runs in a thread while the next rollout is collected, and takes as its last argument the
    parameters that collected its own, which are no longer those of `state`. Nothing is collected past a checkpoint, and
    between phases nothing runs.
    """

    _behaviour: np.ndarray | None = None  # the parameters of a rollout collected ahead

    def _set_up(self, *arguments: Any, **keywords: Any) -> None:
        super()._set_up(*arguments, **keywords)
        if self.config.overlap and "behaviour" not in signature(self.update).parameters:
            raise UserError(f"{self.name} cannot learn from a rollout of older parameters: set overlap = false")

    def noise_of_update(self) -> Any:
        """What the update takes besides the rollout and the scalars: noise as data (minibatch permutations, say)."""
        return None

    @cached_property
    def rollout(self) -> RolloutBuffer:
        return RolloutBuffer(self.config.n_steps, self.config.n_envs, *self.stored)

    @cached_property
    def sequences(self) -> np.ndarray:
        """The rollout's steps `[length, n]`, as rows of `[T · N]`: each column a sequence of one environment."""
        length, n_steps, n_envs = self.config.length, self.config.n_steps, self.config.n_envs
        rows = np.arange(n_steps * n_envs, dtype=np.int32).reshape(n_steps // length, length, n_envs)
        return np.moveaxis(rows, 1, 0).reshape(length, -1)

    @contextmanager
    def while_learning(self) -> Iterator[None]:
        with ThreadPoolExecutor(1) as self._worker:  # starts its thread when first given work
            yield

    def phase(self) -> Any:
        if self.config.overlap:
            with self.whole.lock:  # the update has the state for as long as this lasts
                return self._overlapping_phase()
        self._collect()
        with self.profile("update"), self.whole:
            return self._take(
                self.compiled_update(self.state, self.rollout.arrays(), self.noise_of_update(), self.scalars())
            )

    def _overlapping_phase(self) -> Any:
        """Learn from the rollout at hand and collect the next one meanwhile, unless a checkpoint comes between them."""
        if self._behaviour is None:
            self._collect()
            self._behaviour = self.flat.copy()
        state, ahead = self.state, not self._is_checkpoint(self.steps + self._steps_of_phase)
        with self.profile("update"):
            rollout = tree.map(np.copy, self.rollout.arrays())
            arguments = state, rollout, self.noise_of_update(), self.scalars(), self._behaviour
            updated = self._worker.submit(lambda: self.compiled_update(*arguments))
        try:
            self._behaviour = self.flat.copy() if ahead else None
            if ahead:  # the state belongs to the update: images are acted on by parameters of their own
                self.state = {"parameters": self.engine.asarray(self._behaviour)}
                self._collect()
        finally:  # also where collecting was interrupted: what was learned is kept
            with self.profile("update"), self.whole:
                self.state = state
                metrics = self._take(updated.result())
        return metrics

    @property
    def _steps_of_phase(self) -> int:
        return self.config.n_steps * self.config.n_envs

    def _take(self, updated: Any) -> Any:
        """Go on from what the update gave; its metrics."""
        self.state, metrics = updated
        self.steps += self._steps_of_phase
        self._sync()
        return metrics

    def _reset(self) -> None:
        super()._reset()
        self._behaviour = None  # a rollout collected ahead belongs to the episodes given up

    def _collect(self) -> None:
        noise = self.policy.noise(self.rng, (self.config.n_steps, self.config.n_envs))
        self.collector.fill(
            self.rollout, lambda t, seen: self.sample(seen, tree.at(noise, t)), self.policy.head.to_env,
            self.profile.seconds,
        )  # fmt: skip
