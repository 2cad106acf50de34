"""A ring of stacked frames that keeps each frame once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rlzoo.buffers.apart import Apart, LookedUp, check_rows, indices


class Frames(LookedUp):
    """Observations that are the last `frames` frames on the last axis, the newest last: an array `[capacity, ...]`.

    Of each row the newest frame is kept. The older ones are those of the rows `n_envs`, 2 `n_envs`, … before it; where
    these had others, as where an episode begins, or have been overwritten, they are kept apart.
    """

    def __init__(self, capacity: int, example: np.ndarray, frames: int, n_envs: int):
        self.capacity, self.frames, self.n_envs = capacity, frames, n_envs
        self.shape, self.dtype, self.channels = (capacity, *example.shape), example.dtype, example.shape[-1] // frames
        one = (*example.shape[:-1], self.channels)
        self.newest = np.zeros((capacity, *one), self.dtype)
        self.older = {age: Apart(capacity, age * n_envs, one, self.dtype) for age in range(1, frames)}

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes now."""
        return self.newest.nbytes + sum(apart.nbytes for apart in self.older.values())

    def take(self, rows: np.ndarray, axis: int = 0) -> np.ndarray:
        found = np.empty((*np.shape(rows), *self.shape[1:]), self.dtype)
        for age in range(self.frames):
            frame = self.newest.take(self._before(rows, age), 0)
            if age:
                self.older[age].put_over(frame, rows)
            found[..., self._place(age)] = frame
        return found

    def __setitem__(self, where: Any, values: np.ndarray) -> None:
        """Write rows that come one after another, times `n_envs` of them: a slice or their indices."""
        rows, values = indices(where), np.asarray(values, self.dtype)
        for age, apart in self.older.items():  # rows that look back to what is overwritten now
            after = (rows[-1] + 1 + np.arange(min(age * self.n_envs, self.capacity - len(rows)))) % self.capacity
            lost = self._before(after, age)
            loses = ((lost - rows[0]) % self.capacity < len(rows)) & (apart.place[after] < 0)
            apart.keep(after[loses], self.newest[lost[loses]])
            apart.release(rows)
        self.newest[rows] = values[..., self._place(0)]
        for age, apart in self.older.items():
            given = values[..., self._place(age)]
            differs = self.newest.take(self._before(rows, age), 0) != given
            others = differs.reshape(len(rows), self.newest[0].size).any(1)  # sooner than over several axes
            apart.keep(rows[others], given[others])

    def _before(self, rows: np.ndarray, age: int) -> np.ndarray:
        """The rows in which frames of this age are the newest."""
        return (rows - age * self.n_envs) % self.capacity

    def _place(self, age: int) -> slice:
        """Where frames of this age stand on the last axis."""
        end = (self.frames - age) * self.channels
        return slice(end - self.channels, end)

    # ---- saving ------------------------------------------------------------------------------------------------------
    def arrays(self, name: str, size: int) -> dict[str, np.ndarray]:
        """What a checkpoint holds of the first `size` rows: the newest frames, and what is kept apart of which rows."""
        arrays = {name: self.newest[:size]}
        for age, apart in self.older.items():
            rows = apart.rows(size)
            arrays |= {_older(name, age): apart.of(rows), _rows(name, age): rows}
        return arrays

    def restore(self, name: str, arrays: Mapping[str, np.ndarray], size: int, position: int) -> None:
        """Take over what `arrays` gave of `size` rows, the next at `position`; raises ValueError where it does not fit.

        Whole stacks, as they once were kept, are taken too.
        """
        values = arrays[name]
        if values.dtype == self.dtype and values.shape == (size, *self.shape[1:]):
            in_order = (np.arange(size) + (position if size == self.capacity else 0)) % self.capacity
            if size:
                self[in_order] = values[in_order]
            return
        self._check(name, values, size)
        found = {age: (arrays[_rows(name, age)], arrays[_older(name, age)]) for age in self.older}
        for age, (rows, frames) in found.items():
            check_rows(_rows(name, age), rows, size)
            self._check(_older(name, age), frames, len(rows))
        self.newest[:size] = values
        for age, (rows, frames) in found.items():
            self.older[age].restore(rows, frames)

    def _check(self, name: str, frames: np.ndarray, n: int) -> None:
        if frames.shape != (n, *self.newest.shape[1:]) or frames.dtype != self.dtype:
            raise ValueError(f"replay {name} is {frames.dtype} {frames.shape}, not {self.dtype} {self.shape[1:]}")


def _older(name: str, age: int) -> str:
    return f"frames of {name}, {age} back"


def _rows(name: str, age: int) -> str:
    return f"rows of those {age} back of {name}"
