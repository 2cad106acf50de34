"""The replay buffer: the last transitions, sampled uniformly."""

from __future__ import annotations

import numpy as np


class ReplayBuffer:
    """A ring of transitions in preallocated arrays; memory is touched as it fills.

    Terminated and truncated are kept apart: `terminated` alone stops the bootstrap. `next_observation` is stored, so a
    transition stays right where the environment was reset after it.
    """

    def __init__(self, capacity: int, observation: tuple[tuple[int, ...], type], action: tuple[tuple[int, ...], type]):
        (observation_shape, observation_dtype), (action_shape, action_dtype) = observation, action
        self.capacity, self.size, self.position = capacity, 0, 0
        self.data = {
            "observation": np.zeros((capacity, *observation_shape), observation_dtype),
            "next_observation": np.zeros((capacity, *observation_shape), observation_dtype),
            "action": np.zeros((capacity, *action_shape), action_dtype),
            "reward": np.zeros(capacity, np.float32),
            "terminated": np.zeros(capacity, np.float32),
            "truncated": np.zeros(capacity, np.float32),
        }

    def __len__(self) -> int:
        return self.size

    def add(self, rows: dict[str, np.ndarray]) -> None:
        """Append rows `[n, ...]` of every field, over the oldest where the buffer is full."""
        n = len(rows["reward"])
        end = self.position + n
        where = slice(self.position, end) if end <= self.capacity else np.arange(self.position, end) % self.capacity
        for name, column in self.data.items():
            column[where] = rows[name]
        self.position = end % self.capacity
        self.size = min(self.size + n, self.capacity)

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Transitions drawn uniformly with replacement: fields `[*shape, ...]`."""
        indices = rng.integers(self.size, size=shape)
        return {name: column.take(indices, 0) for name, column in self.data.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """What a checkpoint holds of it: the filled rows and where the next goes."""
        filled = {name: column[: self.size] for name, column in self.data.items()}
        return filled | {"position": np.asarray(self.position, np.int64)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `arrays` gave; raises ValueError where it does not fit."""
        where = arrays["position"]
        if where.shape != () or where.dtype != np.int64:
            raise ValueError(f"replay position is {where.dtype} {where.shape}, not one int64")
        size, position = len(arrays["reward"]), int(where)
        if size > self.capacity or not 0 <= position < self.capacity or (size < self.capacity and position != size):
            raise ValueError(f"a replay of {size} rows, the next at {position}, in a buffer of {self.capacity}")
        for name, column in self.data.items():
            rows = arrays[name]
            if rows.shape != (size, *column.shape[1:]) or rows.dtype != column.dtype:
                raise ValueError(f"replay {name} is {rows.dtype} {rows.shape}, not {column.dtype} {column.shape[1:]}")
            column[:size] = rows
        self.size, self.position = size, position
