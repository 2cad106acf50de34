"""The Markdown page of `benchmarks.scores`, made from its rows alone: a number is never edited by hand."""

from __future__ import annotations

import statistics
from itertools import groupby
from typing import Any

Row = dict[str, Any]

HEAD = """\
# Scores

Made by `python -m benchmarks.scores` from `scores.json`. Each seed was trained for the whole budget with the
hyperparameters that `rlzoo show ALGORITHM ENVIRONMENT` prints, then played 100 episodes by its deterministic policy,
with the parameters it ended with; no seed and no checkpoint was chosen. Score: mean over seeds (lowest to highest
seed); of a single seed ± its standard deviation over episodes. Peers: mean ± standard deviation over episodes of one
agent, as RL Baselines3 Zoo reports it, on its version of the environment. Reached: seeds whose mean is the peers' or
more, or short of it by less than two standard errors of the difference. The running statistics that normalize rewards
and observations were mended on 2026-11-28: older rows of settings with `normalize_observation` or `normalize_reward`
were trained before that. Seconds of training are of whatever machine there was, some of them with other work beside it.
"""
COLUMNS = ("algorithm", "engine", "steps", "seeds", "score", "peers", "reached", "seconds a seed", "measured")


def page(rows: list[Row]) -> str:
    """`docs/benchmarks/scores.md`: a table an environment, a line an algorithm, engine and settings."""
    lines = [HEAD]
    for env, of_env in groupby(sorted(rows, key=lambda row: row["env"]), lambda row: row["env"]):
        lines += [f"## {env}", "", f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
        lines += [_line(list(group)) for _, group in groupby(sorted(of_env, key=_kind), _kind)]
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def _kind(row: Row) -> tuple[str, str, str, int]:
    settings = ", ".join(f"{name} = {value}" for name, value in row["settings"].items())
    return row["algorithm"], settings, row["engine"], row["steps"]


def _line(rows: list[Row]) -> str:
    algorithm, settings, engine, steps = _kind(rows[0])
    means, peers = [row["mean"] for row in rows], rows[0]["peers"]
    digits = ",.2f" if max(map(abs, means)) < 1.0 else ",.1f"
    low, high, std = (f"{x:{digits}}" for x in (min(means), max(means), rows[0]["std"]))
    spread = f" ({low} to {high})" if len(rows) > 1 else f" ± {std}"
    return " | ".join([
        f"| {algorithm}" + (f" ({settings})" if settings else ""), engine, f"{steps:,}",
        " ".join(str(row["seed"]) for row in rows), f"{statistics.mean(means):{digits}}{spread}",
        f"{peers['mean']:,.1f} ± {peers['std']:,.1f} ({peers['steps']} steps, {peers['env']})" if peers else "",
        f"{sum(reaches(row) for row in rows)} of {len(rows)}" if peers else "",
        f"{statistics.median(row['seconds'] for row in rows):,.0f}", f"{_dates(rows)} |",
    ])  # fmt: skip


def _dates(rows: list[Row]) -> str:
    """The day of a line's rows, or the first and the last."""
    first, *_, last = sorted(row["date"] for row in [*rows, *rows])
    return first if first == last else f"{first} to {last}"


def reaches(row: Row) -> bool:
    """Whether a score is no worse than the peers', as far as so many episodes can tell."""
    peers = row["peers"]
    variance = row["std"] ** 2 / row["episodes"] + peers["std"] ** 2 / peers["episodes"]
    return row["mean"] >= peers["mean"] - 2.0 * variance**0.5
