"""Rings of rows that are mostly looked up elsewhere, and what some rows have for themselves."""

from __future__ import annotations

from typing import Any

import numpy as np


class LookedUp:
    """An array `[capacity, ...]` to whoever writes and draws rows; `take` looks them up."""

    capacity: int

    def __len__(self) -> int:
        return self.capacity

    def take(self, rows: np.ndarray, axis: int = 0) -> np.ndarray:
        """These rows, `[*rows.shape, ...]`; along the leading axis alone."""
        raise NotImplementedError

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.take(np.arange(self.capacity)[rows] if isinstance(rows, slice) else np.asarray(rows))


def indices(where: Any) -> np.ndarray:
    """The rows that are written, one after another: those of a slice, or their indices."""
    return np.arange(where.start, where.stop) if isinstance(where, slice) else where


def check_rows(name: str, rows: np.ndarray, size: int) -> None:
    """Raises ValueError unless what a checkpoint calls `name` are some of the first `size` rows, in order."""
    if rows.ndim != 1 or rows.dtype != np.int64:
        raise ValueError(f"replay {name} is {rows.dtype} {rows.shape}, not rows")
    if len(rows) and not (rows[0] >= 0 and rows[-1] < size and (np.diff(rows) > 0).all()):
        raise ValueError(f"replay {name} is not of rows in order")


class Apart:
    """Values of rows, in a pool that grows with how many have one."""

    def __init__(self, capacity: int, spare: int, shape: tuple[int, ...], dtype: Any):
        self.place = np.full(capacity, -1, np.int64)  # of each row in `kept`; −1 where it has none
        self.kept = np.zeros((spare, *shape), dtype)
        self.free = [*range(spare)]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes now."""
        return self.place.nbytes + self.kept.nbytes

    def rows(self, size: int) -> np.ndarray:
        """Which of the first `size` rows have a value, in order."""
        return np.flatnonzero(self.place[:size] >= 0)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The values of rows that have one."""
        return self.kept[self.place[rows]]

    def put_over(self, found: np.ndarray, rows: np.ndarray) -> None:
        """Write the values of those of the rows that have one into `found`, `[*rows.shape, ...]`."""
        place = self.place.take(rows)
        apart = place >= 0
        if apart.any():
            found[apart] = self.kept[place[apart]]

    def keep(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Give values to rows that have none."""
        missing = len(rows) - len(self.free)
        if missing > 0:
            more = max(missing, len(self.kept) // 4)
            self.free += range(len(self.kept), len(self.kept) + more)
            self.kept = np.concatenate([self.kept, np.zeros((more, *self.kept.shape[1:]), self.kept.dtype)])
        for row, value in zip(rows.tolist(), values, strict=True):
            self.place[row] = place = self.free.pop()
            self.kept[place] = value

    def release(self, rows: np.ndarray) -> None:
        """Take the values of rows away, where they have one."""
        places = self.place[rows]
        self.free += places[places >= 0].tolist()
        self.place[rows] = -1

    def restore(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Give values to these rows, and take those of all others away."""
        self.release(np.arange(len(self.place)))
        self.keep(rows, values)
