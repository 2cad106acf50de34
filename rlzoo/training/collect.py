"""The acting side of learning: one step of every environment at a time, in NumPy, with its books kept."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from rlzoo.buffers import RolloutBuffer
from rlzoo.envs import Stepper
from rlzoo.policies.normalizers import ObservationNormalizer, RewardNormalizer


class Episodes:
    """Returns and lengths of the last 100 finished episodes."""

    def __init__(self, n_envs: int):
        self.returns: deque[float] = deque(maxlen=100)
        self.lengths: deque[int] = deque(maxlen=100)
        self.finished = 0
        self.restart(n_envs)

    def plain(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"finished": self.finished, "returns": list(self.returns), "lengths": list(self.lengths)}

    def restore(self, plain: dict[str, Any]) -> None:
        self.finished = plain["finished"]
        self.returns.extend(plain["returns"])
        self.lengths.extend(plain["lengths"])

    def restart(self, n_envs: int) -> None:
        """Forget the episodes under way."""
        self.running = np.zeros(n_envs)  # what each has returned so far
        self.steps, self.begun = 0, np.zeros(n_envs, np.int64)  # steps since, and after how many each began

    def add(self, rewards: np.ndarray, ends: list[tuple[int, np.ndarray]], valid: np.ndarray | None = None) -> None:
        """Count a rollout: rewards `[T, N]`, and the steps `t` after which episodes were done, `[N]` bool.

        `valid` `[T, N]` is 0 where a step was spent on a reset; None where every step counts.
        """
        if valid is not None:
            rewards = np.where(valid > 0.0, rewards, 0.0)
        begun = 0
        for t, done in ends:
            self._count(begun, t + 1, rewards, valid)
            begun = t + 1
            for i in done.nonzero()[0].tolist():
                self.returns.append(float(self.running[i]))
                self.lengths.append(int(self.steps - self.begun[i]))
                self.finished += 1
                self.running[i], self.begun[i] = 0.0, self.steps
        self._count(begun, len(rewards), rewards, valid)

    def _count(self, first: int, end: int, rewards: np.ndarray, valid: np.ndarray | None) -> None:
        if first == end:
            return
        self.steps += end - first
        self.running += rewards[first] if first + 1 == end else np.add.reduce(rewards[first:end], 0)
        if valid is not None:
            self.begun += np.count_nonzero(valid[first:end] == 0.0, 0)


class Collector:
    """Steps the environments of an agent: observations cast and normalized, rewards normalized, episodes counted."""

    def __init__(self, stepper: Stepper, episodes: Episodes, dtype: Any,
                 normalize_observation: ObservationNormalizer | None,
                 normalize_reward: RewardNormalizer | None):  # fmt: skip
        self.stepper, self.episodes, self.dtype = stepper, episodes, dtype
        self.normalize_observation, self.normalize_reward = normalize_observation, normalize_reward
        self.raw: Any = None  # the observations that the next actions are chosen for, as the environment gave them

    def reset(self, seed: int) -> None:
        """Begin new episodes in every environment; those under way are given up."""
        self.raw = np.asarray(self.stepper.reset(seed))
        self.episodes.restart(self.stepper.n_envs)
        if self.normalize_observation is not None:
            self.normalize_observation.moments.update(self.raw)
        if self.normalize_reward is not None:
            self.normalize_reward.running[:] = 0.0

    def fill(
        self,
        rollout: RolloutBuffer,
        choose: Callable[[int, np.ndarray], np.ndarray],
        to_env: Callable[[np.ndarray], np.ndarray],
        seconds: dict[str, float],
        raw: bool = False,
    ) -> None:
        """Take the actions `choose(t, observation)`, write what came of them into `rollout`, and add up the seconds.

        `choose` sees observations as networks do; with `raw`, the rollout keeps them as the environment gave them.
        """
        clock, step_env, observations = time.perf_counter, self.stepper.step, rollout.observation
        actions, rewards = rollout.action, rollout.reward
        normalize, normalize_reward = self.normalize_observation, self.normalize_reward
        kept = _same if normalize is None or raw else normalize
        ends: list[tuple[int, np.ndarray]] = []  # steps that ended an episode, and where they led
        done: list[tuple[int, np.ndarray]] = []  # the same steps, and the environments it ended in
        given = np.empty(rewards.shape)  # rewards as the environments gave them
        begun, in_env, seen_now = clock(), 0.0, self.raw
        rollout.clear()
        for t in range(len(observations)):
            if normalize is None:
                observations[t] = seen_now
                seen = observations[t]  # now of the stored type
            else:
                seen = normalize(seen_now)
                observations[t] = seen_now if raw else seen
            actions[t] = action = choose(t, seen)
            env_action = to_env(action)
            acted = clock()
            led_to, reward, terminated, truncated, ended, valid, seen_now = step_env(env_action)
            in_env += clock() - acted
            given[t] = reward
            if normalize is not None:
                normalize.moments.update(seen_now)
            if normalize_reward is not None:
                rewards[t] = normalize_reward(reward, ended)
            if valid is not None:
                rollout.valid[t] = valid
            if ended is not None:
                rollout.terminated[t], rollout.truncated[t] = terminated, truncated
                ends.append((t, kept(led_to)))
                done.append((t, ended))
        if normalize_reward is None:
            rewards[:] = given
        self.raw = seen_now
        self.episodes.add(given, done, None if self.stepper.every_step_counts else rollout.valid)
        rollout.close(kept(seen_now), ends)
        seconds["env"] += in_env
        seconds["act"] += clock() - begun - in_env


def _same(observation: np.ndarray) -> np.ndarray:
    return observation
