"""Priorities: a sum tree in NumPy, updated and searched for many rows at a time (Schaul 2016, appendix B.2.1)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

BITS, TOP = 4, 256  # so few levels that NumPy's calls, not its work, would be what the time goes into
WIDTH = 1 << BITS
BELOW = 1.0 - 2.0**-53  # times a number, the next one below it
BEFORE = np.tril(np.ones((WIDTH, WIDTH)), -1)  # times a row's values, what stands before each: all added in one order


class SumTree:
    """Values of `capacity` leaves, above them the sums of `WIDTH` each, and so on up to a level that is read whole."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.levels = [np.zeros((-(-capacity // WIDTH), WIDTH))]
        while len(self.levels[-1]) > TOP:  # entry i of a level is the sum of row i of the one below
            self.levels.append(np.zeros((-(-len(self.levels[-1]) // WIDTH), WIDTH)))
        self.entries = [level.reshape(-1) for level in self.levels]  # views

    @property
    def total(self) -> float:
        return float(self.entries[-1].sum())

    def __getitem__(self, leaves: np.ndarray) -> np.ndarray:
        return self.entries[0].take(leaves)

    def __setitem__(self, leaves: np.ndarray, values: np.ndarray | float) -> None:
        """Set these leaves; of one that is named twice, the last value counts."""
        self.entries[0][leaves] = values
        rows = np.asarray(leaves).reshape(-1)
        for level, above in zip(self.levels, self.entries[1:]):
            rows = rows >> BITS
            if len(rows) < len(level):
                above[rows] = np.einsum("ij->i", level.take(rows, 0))  # twice as fast as sum(1)
            else:
                above[: len(level)] = np.einsum("ij->i", level)

    def find(self, mass: np.ndarray) -> np.ndarray:
        """The leaf in which each of these masses, within 0 and `total`, falls, the leaves' values side by side."""
        left, values = np.asarray(mass, np.float64).reshape(-1), self.entries[-1]
        ends = np.zeros(len(values) + 1)
        np.cumsum(values, out=ends[1:])
        aim = np.minimum(left, BELOW * ends[-1])  # no leaf of nothing
        found = ends.searchsorted(aim, "right") - 1
        left, column = aim - ends.take(found), np.arange(len(left))
        for below in self.levels[-2::-1]:
            row = below.take(found, 0)
            begins = BEFORE @ row.T
            aim = np.minimum(left, BELOW * (begins[-1] + row[:, -1]))
            entry = np.add.reduce(begins <= aim, 0, np.uint8).astype(np.int64) - 1
            left = aim - begins.take(entry * len(left) + column)
            found = (found << BITS) + entry
        return found.reshape(np.shape(mass))


class Priorities:
    """Which rows are drawn how often: p = (|δ| + ε)^α over their sum; weights (n p)^−β over the largest of a batch.

    Schaul 2016, section 3.3 and 3.4. `beta` is set from outside as it is scheduled.
    """

    def __init__(self, capacity: int, alpha: float, epsilon: float = 1e-6):
        self.tree, self.alpha, self.epsilon = SumTree(capacity), alpha, epsilon
        self.largest, self.beta = 1.0, 0.4
        self.drawn = np.zeros((0, 0), np.int64)
        self.counts: np.ndarray | None = None  # of sequences drawn, `[K, length · B]`: 0 where a step does not count

    def enter(self, rows: np.ndarray) -> None:
        """New rows, drawn with the largest priority known."""
        if len(rows):
            self.tree[rows] = self.largest

    def clear(self, rows: np.ndarray) -> None:
        """Rows that are not to be drawn."""
        self.tree[rows] = 0.0

    def sample(self, rng: np.random.Generator, shape: tuple[int, int], size: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows `[K, B]`, one from each of B equal shares of the whole, and their weights, float32."""
        k, b = shape
        total = self.tree.total
        mass = (np.arange(b) + rng.random((k, b))) * (total / b)
        self.drawn = self.tree.find(np.minimum(mass, BELOW * total))
        weight = (size * self.tree[self.drawn] / total) ** -self.beta
        return self.drawn, (weight / weight.max(-1, keepdims=True)).astype(np.float32)

    def update(self, td_error: np.ndarray) -> None:
        """What the rows last drawn came to: |δ| of each, `[K, length · B]`; of a sequence, mostly the largest.

        A sequence counts 0.9 of its largest and 0.1 of its mean (Kapturowski 2019, section 2.3), over the steps that
        count, as its first always does.
        """
        k, b = self.drawn.shape
        error = np.abs(td_error).reshape(k, -1, b)
        if error.shape[1] == 1:
            mixed = error[:, 0]
        else:
            counts = np.ones_like(error) if self.counts is None else self.counts.reshape(error.shape)
            error = error * counts
            mixed = 0.9 * error.max(1) + 0.1 * error.sum(1) / counts.sum(1)
        values = (mixed + self.epsilon) ** self.alpha
        values = np.where(np.isfinite(values), values, self.largest)
        alive = self.tree[self.drawn] > 0.0  # none that was overwritten since
        self.tree[self.drawn[alive]] = values[alive]
        self.largest = max(self.largest, float(values.max()))

    def arrays(self, size: int) -> dict[str, np.ndarray]:
        """What a checkpoint holds of it."""
        return {"priority": self.tree[np.arange(size)], "largest_priority": np.asarray(self.largest)}

    def restore(self, arrays: Mapping[str, np.ndarray], size: int) -> None:
        """Take over what `arrays` gave; raises ValueError where it does not fit."""
        priority, largest = arrays["priority"], arrays["largest_priority"]
        for name, numbers, shape in (("priorities", priority, (size,)), ("largest_priority", largest, ())):
            if numbers.shape != shape or numbers.dtype != np.float64:
                raise ValueError(f"{name}: {numbers.dtype} {numbers.shape}, not float64 {shape}")
        if not (largest > 0.0 and np.isfinite(float(largest) * self.tree.capacity)):
            raise ValueError(f"largest_priority = {largest} is not above 0, or sums of it are not finite")
        if not ((priority >= 0.0) & (priority <= largest)).all():
            raise ValueError(f"priorities are not finite numbers of at least 0 and at most {largest}")
        self.tree[np.arange(size)] = priority
        self.largest = float(largest)
