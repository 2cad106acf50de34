"""Hindsight: transitions taken again as if a goal that was reached had been the aim (Andrychowicz 2017)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rlzoo.backend import tree
from rlzoo.buffers.replay import ReplayBuffer

STRATEGIES = ("future", "final", "episode")
LONGEST = 2**40  # steps of an episode, more than any run takes
GOAL, REACHED = "desired_goal", "achieved_goal"


class HindsightReplay(ReplayBuffer):
    """A replay whose draws are relabelled, `share` of them, with goals reached in the same episode.

    `strategy` says where: "future", at a step from the drawn one on; "final", at the episode's last; "episode", at any.
    `goals(observation)` gives the dict with the goals inside what is stored. Before anything is drawn, `compute_reward`
    and, where the environment has one, `compute_terminated` are to be set: functions of `(achieved, desired)`, arrays
    `[..., goal]`, to `[...]`.
    """

    compute_reward: Any = None
    compute_terminated: Any = None

    def __init__(self, *arguments: Any, strategy: str, share: float,
                 goals: Callable[[Any], dict[str, Any]] = lambda observation: observation):  # fmt: skip
        super().__init__(*arguments)
        self.strategy, self.share, self.goals = strategy, share, goals
        self.step = np.zeros(self.capacity, np.int64)  # of its episode, from 0
        self.final = np.full(self.capacity, -1, np.int64)  # the last step of its episode; −1 while it goes on
        self._step = np.zeros(self.n_envs, np.int64)  # that comes next in each environment

    def add(self, rows: dict[str, Any]) -> None:
        done = (rows["terminated"] + rows["truncated"] > 0.0).reshape(-1, self.n_envs)
        resets = (rows["valid"] == 0.0).reshape(-1, self.n_envs)
        super().add(rows)
        for t in range(len(done)):
            row = self._row_of(t - len(done))
            if len(done) - t <= self.capacity // self.n_envs:  # else it was overwritten at once
                self.step[row], self.final[row] = self._step, -1
                self._end(done[t], row)
            self._step = np.where(done[t] | resets[t], 0, self._step + 1)

    def _row_of(self, back: int) -> np.ndarray:
        """The rows of the step that lies so many before the next, a negative number."""
        return (self.position + back * self.n_envs + np.arange(self.n_envs)) % self.capacity

    def _end(self, done: np.ndarray, row: np.ndarray) -> None:
        """Note in all steps of the episodes that end with these rows which their last step is."""
        for i in done.nonzero()[0].tolist():
            back = np.arange(min(int(self.step[row[i]]) + 1, self.capacity // self.n_envs))
            self.final[(row[i] - back * self.n_envs) % self.capacity] = self.step[row[i]]

    def cut(self) -> None:
        super().cut()
        if self.size:
            row = self._row_of(-1)
            self._end(self.final[row] < 0, row)
        self._step = np.zeros_like(self._step)

    def transitions(self, rng: np.random.Generator, rows: np.ndarray) -> dict[str, Any]:
        data, window = self.data, self.window(rows)
        starts = rows[..., : rows.shape[-1] // self.length]  # a sequence has one goal

        def each(x: np.ndarray) -> np.ndarray:
            return np.concatenate([x] * self.length, rows.ndim - 1)

        relabel, goal_row = each(rng.random(starts.shape) < self.share), each(self._goal_rows(rng, starts))
        reached = self.goals(data["next_observation"])[REACHED]
        wanted = self.goals(data["observation"])[GOAL].take(rows, 0)
        wide = relabel.reshape(relabel.shape + (1,) * (wanted.ndim - rows.ndim))
        aims = np.where(wide, reached.take(goal_row, 0), wanted)
        achieved, desired = reached[window], np.broadcast_to(aims, (len(window), *aims.shape))
        reward = np.where(relabel, self.compute_reward(achieved, desired), data["reward"][window]).astype(np.float32)
        terminated = data["terminated"][window]
        if self.compute_terminated is not None:
            again = np.asarray(self.compute_terminated(achieved, desired), np.float32)
            terminated = np.where(relabel, again, terminated).astype(np.float32)
        total, discount, last = self._n_steps(window, reward, terminated)
        observation = tree.map(lambda x: x.take(rows, 0), data["observation"])
        following = tree.map(lambda x: x.take(last, 0), data["next_observation"])
        self.goals(observation)[GOAL], after = aims, self.goals(following)
        after[GOAL] = np.where(wide, aims, after[GOAL])  # of its own, which may have changed with the step
        return {
            "observation": observation, "next_observation": following,
            "action": data["action"].take(rows, 0), "reward": total, "discount": discount,
        }  # fmt: skip

    def _goal_rows(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """Rows of the same episode, and the same environment, whose next state gives the goal.

        For a step that was spent on a reset, which sequences alone begin with, of the episode that begins after it.
        """
        rows = np.where(self.data["valid"][rows] > 0.0, rows, (rows + self.n_envs) % self.capacity)
        age, newest = self._age(rows)
        step, final = self.step[rows], self.final[rows]
        left = np.where(final < 0, newest, np.minimum(final - step, newest))
        if self.strategy == "final":
            ahead = left
        elif self.strategy == "future":
            ahead = (rng.random(rows.shape) * (left + 1)).astype(np.int64)
        else:
            begun = np.minimum(step, age)
            ahead = (rng.random(rows.shape) * (begun + left + 1)).astype(np.int64) - begun
        return (rows + ahead * self.n_envs) % self.capacity

    def _age(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Steps since the oldest in the buffer, and to the newest."""
        age = (rows - self._oldest) % self.capacity // self.n_envs
        return age, self.size // self.n_envs - 1 - age

    def arrays(self) -> dict[str, np.ndarray]:
        episodes = {"step": self.step[: self.size], "final": self.final[: self.size], "next_step": self._step}
        return super().arrays() | episodes

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        super().restore(arrays)
        for name, size, least in (("step", self.size, 0), ("final", self.size, -1), ("next_step", self.n_envs, 0)):
            numbers = arrays[name]
            if numbers.shape != (size,) or numbers.dtype != np.int64:
                raise ValueError(f"replay {name} is {numbers.dtype} {numbers.shape}, not int64 ({size},)")
            if not ((numbers >= least) & (numbers < LONGEST)).all():
                raise ValueError(f"replay {name} is not within {least} and {LONGEST}")
        step, final, left = arrays["step"], arrays["final"], self._age(np.arange(self.size))[1]
        if not ((final == -1) | (final >= step) & (final - step <= left)).all():
            raise ValueError("replay final is of steps that are not in the buffer")
        self.step[: self.size], self.final[: self.size], self._step = step, final, arrays["next_step"].copy()
