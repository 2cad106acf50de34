"""`rlzoo show`: every hyperparameter, its value, where the value came from, and what it means."""

from __future__ import annotations

from typing import Annotated

import typer

from rlzoo.cli.output import as_text, print_table
from rlzoo.cli.settings import settings_of


def show(
    algo: Annotated[str, typer.Argument(metavar="ALGO", help="Algorithm; `rlzoo list algos`.")],
    env: Annotated[str, typer.Argument(metavar="ENV", help="Environment; `rlzoo list envs`.")],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE …", help="As for train.")] = None,
) -> None:
    """Show the hyperparameters that `rlzoo train` would take."""
    from rlzoo.algorithms import find
    from rlzoo.cli.agents import trust
    from rlzoo.envs import family_of, name_of
    from rlzoo.training.config import resolve

    kind = find(algo)
    trust(env)
    family = family_of(env)
    resolved = resolve(kind.name, kind.Config, name_of(env), family, settings_of(settings))
    values = resolved.config.model_dump(mode="json")
    rows = [
        [name, as_text(values[name]), resolved.sources[name], field.description or ""]
        for name, field in kind.Config.model_fields.items()
    ]
    print_table(["hyperparameter", "value", "from", "what it is"], rows)
