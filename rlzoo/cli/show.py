"""`rlzoo show`: every hyperparameter, its value, where the value came from, and what it means; then the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlzoo.cli.output import answer, as_text, print_table
from rlzoo.cli.settings import settings_of


def show(
    algo: Annotated[str, typer.Argument(metavar="ALGO", help="Algorithm; `rlzoo list algos`.")],
    env: Annotated[str, typer.Argument(metavar="ENV", help="Environment; `rlzoo list envs`.")],
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE …", help="As for train.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="As for train.")] = None,
) -> None:
    """Show the hyperparameters that `rlzoo train` would take."""
    from rlzoo.algorithms import find
    from rlzoo.cli.agents import trust
    from rlzoo.envs import family_of, name_of
    from rlzoo.training.resolve import resolve

    kind = find(algo)
    trust(env)
    family = family_of(env)
    resolved = resolve(kind.name, kind.Config, name_of(env), family, settings_of(settings, config))
    values = resolved.config.model_dump(mode="json")
    rows, provenance = [], {}
    for name, field in kind.Config.model_fields.items():
        if resolved.config.idle(name) == "":
            continue  # it came with another algorithm's config, and has no say here
        origin, _, source = resolved.sources[name].partition(" (")
        rows.append([name, as_text(values[name]), origin, field.description or ""])
        if source:
            provenance[origin] = source.removesuffix(")")
    print_table(["hyperparameter", "value", "from", "what it is"], rows)
    if provenance:
        answer("", *(f"{origin}: {source}" for origin, source in provenance.items()))
