"""Trains one job on one engine in a process of its own and prints what it measured as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.jobs import ALL, Job


def agent_of(job: Job, engine: str, device: str = "cpu") -> Any:
    """An agent with the job's settings."""
    from rlzoo.algorithms import find

    algorithm = find(job.algorithm)
    return algorithm(job.env, backend=engine, device=device, seed=0, **dict(algorithm.Config(**job.rlzoo)))


def main(job_name: str, engine: str, device: str = "cpu") -> None:
    begun = time.perf_counter()
    from rlzoo.training.callbacks import Callback

    job = ALL[job_name]

    class Clock(Callback):
        """Notes when each phase ended."""

        def on_start(self, agent):  # type: ignore[no-untyped-def]
            self.times = [(agent.steps, time.perf_counter())]

        def on_steps(self, agent):  # type: ignore[no-untyped-def]
            if agent.profile.seconds["update"] and len(self.times) < 3:
                self.times.append((agent.steps, time.perf_counter()))

    agent = agent_of(job, engine, device)
    clock, made = Clock(), time.perf_counter()
    agent.learn(job.steps, callbacks=[clock])
    ended = time.perf_counter()
    (_, start), (first_steps, first), (_, second) = clock.times[:3]
    print(json.dumps({
        "steps_per_second": (agent.steps - first_steps) / (ended - first),
        "first_iteration_seconds": (first - start) - (second - first),
        "whole_seconds": ended - begun,
        "import_seconds": made - begun,
        "threads": agent.engine.threads(agent.compiled_update),
        "time": agent.profile.seconds,
    }))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
