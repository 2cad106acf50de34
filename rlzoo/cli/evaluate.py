"""`rlzoo evaluate`: how good a trained agent is."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from rlzoo.cli.output import answer
from rlzoo.cli.settings import whole


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, a checkpoint's, or a saved agent's.")],
    episodes: Annotated[int, typer.Option(metavar="N", parser=whole(1), help="Whole episodes to play.")] = 20,
    seed: Annotated[
        int | None, typer.Option(metavar="N", parser=whole(0), help="Seed; by default one made from the agent's.")
    ] = None,
    backend: Annotated[str | None, typer.Option(metavar="NAME", help="Engine, as for train; numpy acts too.")] = None,
    stochastic: Annotated[bool, typer.Option("--stochastic", help="Act as in training, not by the mode.")] = False,
    env: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Environment; needed if its id names a module or has text in its arguments."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Play whole episodes and print their mean return."""
    from rlzoo.cli.agents import load_agent

    agent = load_agent(run, env, backend)
    result = agent.evaluate(episodes, seed=seed, deterministic=not stochastic)
    if not json:
        answer(f"{result}, from {min(result.returns):.1f} to {max(result.returns):.1f}")
        return
    from json import dumps

    described = {
        "mean_return": _number(result.mean_return),
        "std_return": _number(result.std_return),
        "returns": [_number(each) for each in result.returns],
        "lengths": result.lengths,
        "episodes": result.episodes,
        "cut": result.cut,
        "success_rate": result.success_rate,
        "seed": result.seed,
        "stochastic": stochastic,
        "algorithm": agent.name,
        "environment": env or agent.environment_name,
        "steps": agent.steps,
        "backend": agent.engine.name,
    }
    answer(dumps(described, allow_nan=False))


def _number(value: float) -> float | None:
    """A number, or None for what JSON has no number for."""
    return value if isfinite(value) else None
