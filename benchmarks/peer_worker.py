"""Trains one job with a peer, in the peers' own environment, and prints what it measured as JSON."""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module

from benchmarks.jobs import ALL

MODULES = {"sb3": "stable_baselines3", "contrib": "sb3_contrib", "sbx": "sbx"}


def main(job_name: str, peer: str, threads: str, device: str = "cpu") -> None:
    begun = time.perf_counter()
    import torch

    torch.set_num_threads(int(threads))
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    library = import_module(MODULES[peer])
    job = ALL[job_name]

    class Clock(BaseCallback):
        """Notes when each rollout after the first update began."""

        def _on_training_start(self) -> None:
            self.times: list[tuple[int, float]] = []

        def _on_rollout_start(self) -> None:
            updates = self.model._n_updates if hasattr(self.model, "_n_updates") else 0
            if updates > 0 or not self.times:
                self.times.append((self.num_timesteps, time.perf_counter()))

        def _on_step(self) -> bool:
            return True

    settings = {name: scheduled(value) for name, value in job.peer.items()}
    env = make_vec_env(job.env, n_envs=job.n_envs)
    if "action_noise" in settings:
        settings["action_noise"] = gaussian(env.action_space.shape, settings["action_noise"])
    policy = {"net_arch": list(job.hidden), **job.policy_settings}
    make = getattr(library, job.peer_class or job.algorithm.upper())
    model = make(job.policy, env, policy_kwargs=policy, seed=0, device=device, **settings)
    clock, made = Clock(), time.perf_counter()
    model.learn(job.steps, callback=clock)
    ended = time.perf_counter()
    (_, start), (first_steps, first), (_, second) = clock.times[:3]
    print(json.dumps({
        "steps_per_second": (model.num_timesteps - first_steps) / (ended - first),
        "first_iteration_seconds": (first - start) - (second - first),
        "whole_seconds": ended - begun,
        "import_seconds": made - begun,
        "threads": int(threads),
    }))  # fmt: skip


def scheduled(value):  # type: ignore[no-untyped-def]
    """`linear X` as SB3's schedule: a function of the progress that remains."""
    if isinstance(value, str) and value.startswith("linear "):
        start = float(value.split()[1])
        return lambda remaining: remaining * start
    return value


def gaussian(shape, deviation):  # type: ignore[no-untyped-def]
    import numpy as np
    from stable_baselines3.common.noise import NormalActionNoise

    return NormalActionNoise(np.zeros(shape), np.full(shape, deviation))


if __name__ == "__main__":
    main(*sys.argv[1:])
