"""Priorities: a sum tree in NumPy, updated and searched for many rows at a time (Schaul 2016, appendix B.2.1)."""

from __future__ import annotations

import numpy as np


class SumTree:
    """Values of `capacity` leaves and the sum of every pair above them, up to that of all."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.depth = max(capacity - 1, 1).bit_length()
        self.nodes = np.zeros(2 << self.depth)  # node i has the children 2i and 2i + 1; 1 is the root
        self.first = 1 << self.depth  # node of the first leaf

    @property
    def total(self) -> float:
        return float(self.nodes[1])

    def __getitem__(self, leaves: np.ndarray) -> np.ndarray:
        return self.nodes[self.first + leaves]

    def __setitem__(self, leaves: np.ndarray, values: np.ndarray | float) -> None:
        """Set these leaves; of one that is named twice, the last value counts."""
        nodes = np.asarray(leaves).reshape(-1) + self.first
        self.nodes[nodes] = values if np.isscalar(values) else np.asarray(values).reshape(-1)
        for level in range(self.depth - 1, -1, -1):
            nodes >>= 1
            if len(nodes) >= 1 << (level - 1 if level else 0):  # a whole level in one pass is faster
                below = self.nodes[2 << level : 4 << level]
                self.nodes[1 << level : 2 << level] = below[::2] + below[1::2]
            else:
                children = nodes << 1
                self.nodes[nodes] = self.nodes[children] + self.nodes[children + 1]

    def find(self, mass: np.ndarray) -> np.ndarray:
        """The leaf in which each of these masses, within 0 and `total`, falls, the leaves' values side by side."""
        mass = np.array(mass, np.float64)
        nodes = np.ones(mass.shape, np.int64)
        for _ in range(self.depth):
            nodes <<= 1
            left = self.nodes[nodes]
            right = (mass >= left) & (self.nodes[nodes + 1] > 0.0)  # rounding never leads to a leaf of nothing
            mass -= np.where(right, left, 0.0)
            nodes += right
        return nodes - self.first


class Priorities:
    """Which rows are drawn how often: p = (|δ| + ε)^α over their sum; weights (n p)^−β over the largest of a batch.

    Schaul 2016, section 3.3 and 3.4. `beta` is set from outside as it is scheduled.
    """

    def __init__(self, capacity: int, alpha: float, epsilon: float = 1e-6):
        self.tree, self.alpha, self.epsilon = SumTree(capacity), alpha, epsilon
        self.largest, self.beta = 1.0, 0.4
        self.drawn = np.zeros((0, 0), np.int64)

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
        self.drawn = self.tree.find(np.minimum(mass, np.nextafter(total, 0.0)))
        weight = (size * self.tree[self.drawn] / total) ** -self.beta
        return self.drawn, (weight / weight.max(-1, keepdims=True)).astype(np.float32)

    def update(self, td_error: np.ndarray) -> None:
        """What the rows last drawn came to: |δ| of each, `[K, length · B]`; of a sequence, mostly the largest.

        A sequence counts 0.9 of its largest and 0.1 of its mean (Kapturowski 2019, section 2.3).
        """
        k, b = self.drawn.shape
        error = np.abs(td_error).reshape(k, -1, b)
        mixed = error[:, 0] if error.shape[1] == 1 else 0.9 * error.max(1) + 0.1 * error.mean(1)
        values = (mixed + self.epsilon) ** self.alpha
        values = np.where(np.isfinite(values), values, self.largest)
        alive = self.tree[self.drawn] > 0.0  # none that was overwritten since
        self.tree[self.drawn[alive]] = values[alive]
        self.largest = max(self.largest, float(values.max()))

    def arrays(self, size: int) -> dict[str, np.ndarray]:
        """What a checkpoint holds of it."""
        return {"priority": self.tree[np.arange(size)], "largest_priority": np.asarray(self.largest)}

    def restore(self, arrays: dict[str, np.ndarray], size: int) -> None:
        """Take over what `arrays` gave; raises ValueError where it does not fit."""
        priority, largest = arrays["priority"], arrays["largest_priority"]
        if priority.shape != (size,) or priority.dtype != np.float64 or largest.shape != ():
            raise ValueError(f"priorities are {priority.dtype} {priority.shape}, not float64 ({size},)")
        if not (np.isfinite(priority).all() and (priority >= 0.0).all() and np.isfinite(largest)):
            raise ValueError("priorities are not finite numbers of at least 0")
        self.tree[np.arange(size)] = priority
        self.largest = float(largest)
