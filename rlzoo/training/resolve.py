"""The config of one agent: for each hyperparameter the value that counts, and where it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from rlzoo.envs.names import module_and_id
from rlzoo.errors import UserError, nearest, warn
from rlzoo.training.config import Config, default_of
from rlzoo.training.published import file_of, published, version_in

DERIVED = (", which it divides", ", for a rollout as large as the published one")  # how sources of such values end


@dataclass(frozen=True)
class Resolved:
    """A config, and for each field where its value came from."""

    config: Any
    sources: dict[str, str]


def resolve(algorithm: str, kind: type[Config], env: str, family: str | None, given: dict[str, Any]) -> Resolved:
    """The config for an environment: the algorithm's defaults, then the family's, the environment's, and what is given.

    Raises UserError for an unknown name or a value of the wrong type or range.
    """
    asked, tables = module_and_id(env)[1], published(algorithm)
    known = asked if family is None else version_in(tables.get("environments", {}), asked)
    layers = [("families", family, f"family {family}"), ("environments", known, f"environment {known}")]
    values: dict[str, Any] = {}
    sources = dict.fromkeys(kind.model_fields, f"default of {algorithm}")
    places: dict[str, str] = {}  # where in a file of ours a value stands, if it does
    for group, table, layer in layers:
        entries = tables.get(group, {}).get(str(table), {})
        where = f" ({entries['source']})" if "source" in entries else ""
        for name, value in entries.items():
            if name != "source":
                values[name], sources[name] = value, layer + where
                places[name] = f"{file_of(algorithm)}, [{group}.{table}]: "
    n_steps = _in_fewer(values, given)
    for name, value in given.items():
        values[name], sources[name] = value, "given"
        places.pop(name, None)
    if n_steps is not None:
        values["n_steps"], sources["n_steps"] = n_steps, f"n_envs{DERIVED[1]}"
    config = validate(algorithm, kind, values, places)
    warn_of_idle(algorithm, config, given)
    if "sequence_length" not in values and config.sequence_length != default_of(kind, "sequence_length"):
        sources["sequence_length"] = f"{' and '.join(kind.sequenced)}{DERIVED[0]}"
    return Resolved(config, sources)


def warn_of_idle(algorithm: str, config: Config, given: dict[str, Any]) -> None:
    """Warn of values that are not the default, and have no effect beside the others."""
    for name, value in given.items():
        switch = config.idle(name)
        if switch is not None and getattr(config, name) != default_of(type(config), name):
            without = f" without {switch}" if switch else ""
            warn(f"{name} = {value} has no effect on {algorithm}{without}")


def _in_fewer(published: dict[str, Any], given: dict[str, Any]) -> int | None:
    """The steps of a rollout that is as large in fewer environments as in those published; None where there are not
    fewer, or the steps are given or were not published."""
    if "n_steps" in given or not {"n_steps", "n_envs"} <= published.keys():
        return None
    try:
        fewer = math.ceil(published["n_envs"] / float(given["n_envs"]))
    except (KeyError, ValueError, TypeError, ZeroDivisionError):
        return None
    return published["n_steps"] * fewer if fewer > 1 else None


def validate(
    algorithm: str, kind: type[Config], values: dict[str, Any], places: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """A config of these values; raises UserError that names the value, the rule and the nearest valid name.

    `places` says of a value which is not the user's where it stands.
    """
    unknown = [name for name in values if name not in kind.model_fields]
    if unknown:
        place, near = places.get(unknown[0], ""), nearest(unknown[0], kind.model_fields)
        raise UserError(
            f"{place}unknown hyperparameter {unknown[0]!r} of {algorithm}{near}; "
            f"`rlzoo show {algorithm} ENV` lists them"
        )
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        message = first["msg"].removeprefix("Value error, ")
        if not name:
            raise UserError(f"{algorithm}: {message}") from None
        place = places.get(name, "")
        raise UserError(f"{place}{name} = {first['input']!r} of {algorithm} is not valid: {message}") from None
