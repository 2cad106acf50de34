"""What RL Baselines3 Zoo reports of its trained agents (rl_zoo3 2.9.2, MIT): `peer_scores.csv`, one row a result.

Its environments are older versions of those here: LunarLander-v2 for v3, HalfCheetah-v3 for v5.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import Any


def score_of(algorithm: str, env: str) -> dict[str, Any] | None:
    """Mean and deviation of the peers' returns, their training steps and episodes evaluated; None if there is none."""
    return _scores().get((algorithm, _without_version(env)))


def _without_version(env: str) -> str:
    return env.rpartition(":")[2].rpartition("-v")[0]


@lru_cache(maxsize=1)
def _scores() -> dict[tuple[str, str], dict[str, Any]]:
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return {
            (row["algo"], _without_version(row["env"])): {
                "mean": float(row["mean_reward"]), "std": float(row["std_reward"]), "steps": row["n_timesteps"],
                "episodes": int(row["eval_episodes"]), "env": row["env"],
            }
            for row in csv.DictReader(file)
        }  # fmt: skip
