"""Where a run's time goes: always on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Profile:
    """Seconds spent in each part of the loop (env, act, update, log) since learning began, and the speed."""

    parts = ("env", "act", "update", "log")
    columns = tuple(f"time_{part}" for part in parts)

    def __init__(self) -> None:
        self.start(0)

    def start(self, steps: int) -> None:
        """Begin a session of learning at this many environment steps."""
        self.seconds = dict.fromkeys(self.parts, 0.0)
        self.started, self.first_step = time.perf_counter(), steps

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count the time inside as this part's. (Loops over single steps add to `seconds` themselves.)"""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - begun

    def record(self, steps: int) -> dict[str, float]:
        """Seconds and steps a second of this session, and each part's share of the time measured."""
        elapsed = time.perf_counter() - self.started
        total = sum(self.seconds.values()) or 1.0
        shares = {f"time_{part}": self.seconds[part] / total for part in self.parts}
        return {"seconds": elapsed, "steps_per_second": (steps - self.first_step) / elapsed, **shares}
