"""Scores with the published hyperparameters, kept in docs/benchmarks/scores.json and laid out in scores.md beside it.

    python -m benchmarks.scores --algo a2c --env CartPole-v1 --seeds 101 102 103 [--engine jax] [--set NAME=VALUE ...]

Each seed is trained for the whole budget, then plays 100 whole episodes by its deterministic policy, and is written at
once. A score of the same algorithm, environment, engine, seed and settings takes the older one's place. `--page` alone
lays the page out again.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peer_scores import score_of
from benchmarks.scores_page import page

ROOT = Path(__file__).resolve().parent.parent
SCORES = ROOT / "docs/benchmarks/scores.json"
EPISODES = 100
WHICH = ("algorithm", "env", "engine", "seed", "settings")  # what tells one score from another

Row = dict[str, Any]


def main() -> None:
    from rlzoo.cli.settings import settings_of

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algo")
    parser.add_argument("--env")
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103])
    parser.add_argument("--engine", default="jax")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="hyperparameters of your own")
    parser.add_argument("--page", action="store_true", help="lay out scores.md again, and train nothing")
    options = parser.parse_args()
    if options.page:
        return change(SCORES, lambda rows: rows)
    if options.algo is None or options.env is None:
        parser.error("--algo and --env are needed")
    for seed in options.seeds:
        row = score(options.algo, options.env, options.engine, seed, settings_of(options.set))
        change(SCORES, lambda rows, row=row: replaced(rows, row))  # type: ignore[misc]
        print(json.dumps(row), flush=True)


def score(algorithm: str, env: str, engine: str, seed: int, settings: dict[str, Any]) -> Row:
    """Train, evaluate, and what came of it."""
    from rlzoo.algorithms import find

    agent = find(algorithm)(env, backend=engine, seed=seed, **settings)
    begun = time.perf_counter()
    agent.learn()
    seconds = time.perf_counter() - begun
    evaluation = agent.evaluate(EPISODES)
    return {
        "algorithm": algorithm, "env": env, "engine": engine, "seed": seed, "settings": settings,
        "steps": agent.steps, "mean": round(evaluation.mean_return, 3), "std": round(evaluation.std_return, 3),
        "episodes": EPISODES, "seconds": round(seconds, 1), "date": datetime.now(UTC).date().isoformat(),
        "peers": score_of(algorithm, env),
    }  # fmt: skip


def replaced(rows: list[Row], row: Row) -> list[Row]:
    """The rows with this one among them, in the place of an older one of the same run; sorted."""
    others = [other for other in rows if any(other[name] != row[name] for name in WHICH)]
    return sorted([*others, row], key=lambda r: [json.dumps(r[name]) for name in ("env", *WHICH)])


def change(path: Path, edit: Callable[[list[Row]], list[Row]]) -> None:
    """Read, edit and write the rows and their page; other processes that do the same wait their turn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed
        file.seek(0)
        text = file.read()
        rows = edit(json.loads(text) if text else [])
        lines = ",\n".join(json.dumps(row) for row in rows)
        path.with_suffix(".md").write_text(page(rows), encoding="utf-8")
        file.truncate(0)
        file.write(f"[\n{lines}\n]\n" if rows else "[]\n")


if __name__ == "__main__":
    main()
