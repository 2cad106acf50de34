"""The replay buffer: the last transitions of every environment, drawn one by one, as n-step returns or in sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlzoo.backend import tree
from rlzoo.buffers.following import Following
from rlzoo.buffers.frames import Frames
from rlzoo.buffers.priorities import Priorities

LARGE = 4096  # bytes of an observation from which on nothing of it is kept twice: an image, not a vector


class ReplayBuffer:
    """A ring of transitions in preallocated arrays; memory is touched as it fills.

    The steps of one time lie side by side, so the next step of an environment is N rows on. `capacity` is lowered to a
    multiple of N. Terminated and truncated are kept apart: `terminated` alone stops the bootstrap. `next_observation`
    is stored, so a transition stays right where the environment was reset after it; of images, only where it is not the
    observation of the next step; and of images that are stacks of `frames`, each frame once.

    `n_step` steps make one return; `length` of them, one after another, a sequence; with `priorities`, what surprised
    is drawn more often. All combine.
    """

    def __init__(self, capacity: int, n_envs: int, observation: Any, action: np.ndarray, gamma: float,
                 n_step: int = 1, length: int = 1, priorities: Priorities | None = None,
                 frames: int = 1):  # fmt: skip
        self.n_envs, self.gamma, self.n_step, self.length, self.priorities = n_envs, gamma, n_step, length, priorities
        self.capacity, self.size, self.position = max(capacity // n_envs, 1) * n_envs, 0, 0
        one = np.zeros((), np.float32)
        seen = tree.map(lambda x: self._ring(x, frames), observation)
        following = tree.map(self._following, seen)
        others = {"action": action, "reward": one, "terminated": one, "truncated": one, "valid": one}
        self.data: dict[str, Any] = {"observation": seen, "next_observation": following} | tree.map(self._ring, others)
        self._columns = tree.flatten(self.data)[0]
        self.every_step_counts = True  # none kept here, and none to come as far as is known, is spent on a reset

    def _ring(self, example: np.ndarray, frames: int = 1) -> Any:
        """Where rows like this one are written."""
        if frames > 1 and example.nbytes >= LARGE and example.shape[-1] % frames == 0:  # else a cell's state beside it
            return Frames(self.capacity, example, frames, self.n_envs)
        return np.zeros((self.capacity, *example.shape), example.dtype)

    def _following(self, observation: Any) -> Any:
        """Where what follows the rows of a ring of observations is written: into another, or beside it if large."""
        is_large = isinstance(observation, Frames) or observation[0].nbytes >= LARGE
        return Following(observation, self.n_envs) if is_large else np.zeros_like(observation)

    def __len__(self) -> int:
        return self.size

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes once it is full; of images more where episodes are short, or given up."""
        return sum(column.nbytes for column in self._columns)

    @property
    def is_ready(self) -> bool:
        """Whether there is something to draw: as many steps as a sequence has."""
        if self.priorities is not None:
            return self.priorities.tree.total > 0.0
        if self.every_step_counts or self.size < self.length * self.n_envs:
            return self.size >= self.length * self.n_envs
        valid = self.data["valid"]
        return bool(valid[self.position - 1] or valid[: self.size].any())  # the last one mostly saves looking at all

    # ---- writing -----------------------------------------------------------------------------------------------------
    def add(self, rows: dict[str, Any]) -> None:
        """Append rows `[n, ...]` of every field, times N of them, over the oldest where the buffer is full."""
        n, capacity = len(rows["reward"]), self.capacity
        if n > capacity:
            rows = tree.map(lambda x: x[n - capacity :], rows)
            n = capacity
        end = self.position + n
        where: Any = slice(self.position, end) if end <= capacity else np.arange(self.position, end) % capacity
        for column, values in zip(self._columns, tree.flatten(rows)[0], strict=True):
            column[where] = values
        if self.every_step_counts and np.count_nonzero(rows["valid"]) < n:
            self.every_step_counts = False
        self.position = end % capacity
        self.size = min(self.size + n, capacity)
        if self.priorities is not None:
            self._prioritize(np.arange(end - n, end) % capacity)

    def _prioritize(self, rows: np.ndarray) -> None:
        """Rows become drawable, with the highest priority, once the sequences that they begin are whole."""
        assert self.priorities is not None
        waiting = (self.length - 1) * self.n_envs
        ends = rows[max(len(rows) + waiting - self.capacity, 0) :]  # the others' beginnings are overwritten by now
        begun = (ends - waiting) % self.capacity
        if self.size < self.capacity:
            begun = begun[begun < ends] if waiting else begun
        self.priorities.clear(rows)
        self.priorities.enter(begun[self.data["valid"][begun] > 0.0])

    def cut(self) -> None:
        """The episodes under way were given up: nothing goes on from the newest steps."""
        if self.size:
            newest = (self.position - 1 - np.arange(self.n_envs)) % self.capacity
            self.data["truncated"][newest] = 1.0

    # ---- drawing -----------------------------------------------------------------------------------------------------
    def sample(self, rng: np.random.Generator, shape: tuple[int, int]) -> dict[str, Any]:
        """K batches of B rows, `shape = (K, B)`, drawn with replacement: fields `[K, B, ...]`.

        `reward` is the n-step return without its bootstrap, `discount` what that counts for: γ^m after m steps, 0 where
        the last of them terminated. Sequences stand in their rows time by time, B / length side by side. With
        priorities or steps that do not count, `weight` says how much a row counts, for what errors are made of. Where
        steps do not count, `valid` is 0 for these and else the same, 1 on the mean of a batch: for all other means.
        """
        starts, weight = self._starts(rng, (shape[0], shape[1] // self.length))
        rows = starts
        if self.length > 1:
            ahead = np.arange(self.length)[:, None] * self.n_envs
            rows = ((starts[:, None, :] + ahead) % self.capacity).reshape(shape)
        batch = self.transitions(rng, rows)
        if self.length > 1 and (weight is not None or not self.every_step_counts):
            counts = self.data["valid"][rows]
            if self.priorities is not None:
                self.priorities.counts = counts
            if not self.every_step_counts:
                batch["valid"] = counts / np.maximum(counts.mean(-1, keepdims=True), np.float32(1e-6))
            weight = counts if weight is None else counts * np.tile(weight, (1, self.length))
        return batch if weight is None else batch | {"weight": weight}

    def _starts(self, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows to begin with, and how much each counts to make up for being drawn more often."""
        if self.priorities is not None:
            return self.priorities.sample(rng, shape, self.size)
        rows = self._any(rng, shape)
        while self.length == 1 and not self.every_step_counts:
            wrong = self.data["valid"][rows] == 0.0
            if not wrong.any():
                break
            rows[wrong] = self._any(rng, (int(np.count_nonzero(wrong)),))
        return rows, None

    def _any(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Rows drawn uniformly from those that begin a whole sequence."""
        if self.length == 1:
            return rng.integers(self.size, size=shape)
        times = self.size // self.n_envs - self.length + 1
        return (self._oldest + rng.integers(times * self.n_envs, size=shape)) % self.capacity

    @property
    def _oldest(self) -> int:
        return self.position if self.size == self.capacity else 0

    def transitions(self, rng: np.random.Generator, rows: np.ndarray) -> dict[str, Any]:
        """The transitions, of `n_step` steps, that begin at these rows: fields `[*rows.shape, ...]`."""
        data = self.data
        observation = tree.map(lambda x: x.take(rows, 0), data["observation"])
        if self.n_step == 1:
            reward, last = data["reward"].take(rows), rows
            discount = np.float32(self.gamma) * (1.0 - data["terminated"].take(rows))
        else:
            reward, discount, last = self._n_steps(self.window(rows))
        return {
            "observation": observation,
            "next_observation": tree.map(lambda x: x.take(last, 0), data["next_observation"]),
            "action": data["action"].take(rows, 0), "reward": reward, "discount": discount,
        }  # fmt: skip

    def window(self, rows: np.ndarray) -> np.ndarray:
        """The n rows from each on, `[n_step, *rows.shape]`; the last again where an episode or the buffer ends."""
        window = [rows]
        newest = (self.position - self.n_envs) % self.capacity
        for _ in range(self.n_step - 1):
            last = window[-1]
            ends = self.data["terminated"][last] + self.data["truncated"][last] > 0.0
            ends |= (last - newest) % self.capacity < self.n_envs
            window.append(np.where(ends, last, (last + self.n_envs) % self.capacity))
        return np.stack(window)

    def _n_steps(self, window: np.ndarray, reward: np.ndarray | None = None,
                 terminated: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Σ γ^k r_k over each window, the discount of what follows, and the row it follows.

        `reward` and `terminated` `[n_step, ...]` stand in for those of the buffer; a step that terminates is the last.
        """
        reward = self.data["reward"][window] if reward is None else reward
        terminated = self.data["terminated"][window] if terminated is None else terminated
        total, discount, last = reward[0].copy(), np.full(window.shape[1:], self.gamma, np.float32), window[0]
        ended = terminated[0]
        for k in range(1, len(window)):
            goes_on = (window[k] != window[k - 1]) & (ended == 0.0)
            total += np.where(goes_on, discount * reward[k], 0.0)
            discount = np.where(goes_on, discount * np.float32(self.gamma), discount)
            last, ended = np.where(goes_on, window[k], last), np.where(goes_on, terminated[k], ended)
        return total, discount * (1.0 - ended), last

    # ---- saving ------------------------------------------------------------------------------------------------------
    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds of it: the filled rows by name and where the next goes."""
        names = tree.paths(self.data)
        filled: dict[str, np.ndarray] = {}
        for name, column in zip(names, self._columns, strict=True):
            is_plain = isinstance(column, np.ndarray)
            filled |= {name: column[: self.size]} if is_plain else column.arrays(name, self.size)
        more = {} if self.priorities is None else self.priorities.arrays(self.size)
        return filled | more | {"position": np.asarray(self.position, np.int64)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `arrays` gave; raises ValueError where it does not fit."""
        where = arrays["position"]
        if where.shape != () or where.dtype != np.int64:
            raise ValueError(f"replay position is {where.dtype} {where.shape}, not one int64")
        size, position = len(arrays["reward"]), int(where)
        if size > self.capacity or not 0 <= position < self.capacity or (size < self.capacity and position != size):
            told = f"a replay of {size} rows, the next at {position}, in a buffer of {self.capacity}"
            raise ValueError(f"{told}: replay=False leaves it out")
        if size % self.n_envs or position % self.n_envs:
            raise ValueError(f"a replay of {size} rows, the next at {position}, is not of {self.n_envs} environments")
        for name, column in zip(tree.paths(self.data), self._columns, strict=True):
            if not isinstance(column, np.ndarray):
                column.restore(name, arrays, size, position)
                continue
            rows = arrays[name]
            if rows.shape != (size, *column.shape[1:]) or rows.dtype != column.dtype:
                raise ValueError(f"replay {name} is {rows.dtype} {rows.shape}, not {column.dtype} {column.shape[1:]}")
            column[:size] = rows
        self.size, self.position = size, position
        self.every_step_counts &= np.count_nonzero(self.data["valid"][:size]) == size
        if self.priorities is not None:
            if "priority" not in arrays:
                raise ValueError("a replay without priorities: replay=False leaves it out")
            self.priorities.restore(arrays, size)  # of sequences that may have had another length
            waiting = (position - 1 - np.arange(min((self.length - 1) * self.n_envs, size))) % self.capacity
            self.priorities.clear(waiting)
            begun = np.setdiff1d(np.arange(size), waiting)
            self.priorities.enter(begun[(self.priorities.tree[begun] == 0.0) & (self.data["valid"][begun] > 0.0)])
