"""What follows each row of a ring of observations, in little more memory than the ring alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlzoo.buffers.apart import Apart, LookedUp, check_rows, indices


class Following(LookedUp):
    """The observation after each row: that `n_envs` rows on, kept only where it is another, and of the newest rows.

    An array `[capacity, ...]` to whoever writes and draws rows. The rows of a step are to be in the ring `observation`
    before what follows them is written.
    """

    def __init__(self, observation: Any, n_envs: int):
        self.observation, self.n_envs = observation, n_envs
        self.capacity, self.shape, self.dtype = len(observation), observation.shape, observation.dtype
        self.apart = Apart(self.capacity, n_envs, self.shape[1:], self.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes now."""
        return self.apart.nbytes

    def take(self, rows: np.ndarray, axis: int = 0) -> np.ndarray:
        """What follows these rows, `[*rows.shape, ...]`; along the leading axis alone."""
        found = self.observation.take((rows + self.n_envs) % self.capacity, 0)
        self.apart.put_over(found, rows)
        return found

    def __setitem__(self, where: Any, values: np.ndarray) -> None:
        """Write what follows rows that come one after another, times `n_envs` of them: a slice or their indices."""
        rows, values = indices(where), np.asarray(values, self.dtype)
        self.apart.release(rows)
        before = (rows[0] - 1 - np.arange(self.n_envs)) % self.capacity  # which now something follows
        before = before[self.apart.place[before] >= 0]
        self.apart.release(before[self._is_next(before, self.apart.of(before))])
        older, newest = rows[: -self.n_envs], rows[-self.n_envs :]
        others = ~self._is_next(older, values[: len(older)])
        self.apart.keep(older[others], values[: len(older)][others])
        self.apart.keep(newest, values[len(older) :])

    def _is_next(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Of which of these rows the ring has what follows, `[len(rows)]` bool."""
        same = self.observation.take((rows + self.n_envs) % self.capacity, 0) == values
        return same.reshape(len(rows), math.prod(self.shape[1:])).all(1)  # sooner than over several axes

    # ---- saving ------------------------------------------------------------------------------------------------------
    def arrays(self, name: str, size: int) -> dict[str, np.ndarray]:
        """What a checkpoint holds of the first `size` rows: what is kept, and of which rows."""
        rows = self.apart.rows(size)
        return {name: self.apart.of(rows), rows_of(name): rows}

    def restore(self, name: str, arrays: Mapping[str, np.ndarray], size: int, position: int) -> None:
        """Take over what `arrays` gave of `size` rows, the next at `position`, which the ring has.

        Raises ValueError where it does not fit.
        """
        values, newest = arrays[name], (position - 1 - np.arange(min(self.n_envs, size))) % self.capacity
        rows = arrays[rows_of(name)] if rows_of(name) in arrays else np.arange(size)  # else of all, as it once was
        check_rows(rows_of(name), rows, size)
        if not np.isin(newest, rows).all():
            raise ValueError(f"replay {rows_of(name)} does not name the newest rows")
        if values.shape != (len(rows), *self.shape[1:]) or values.dtype != self.dtype:
            raise ValueError(f"replay {name} is {values.dtype} {values.shape}, not {self.dtype} {self.shape[1:]}")
        self.apart.restore(rows, values)


def rows_of(name: str) -> str:
    """What the array is called that says which rows are kept."""
    return f"rows of {name}"
