"""The published hyperparameters: a TOML an algorithm, with tables for families of environments and for single ones."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from functools import lru_cache
from importlib.resources import files
from typing import Any

from rlzoo.errors import UserError, nearest

GROUPS = ("families", "environments")


def file_of(algorithm: str) -> str:
    """What an algorithm's file is called."""
    return f"rlzoo/hyperparams/{algorithm}.toml"


@lru_cache(maxsize=64)
def published(algorithm: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The tables of an algorithm by group and name; none where it has no file.

    Raises UserError for a file that cannot be read, and for what stands where nobody would look for it.
    """
    file = files("rlzoo.hyperparams") / f"{algorithm}.toml"
    return parsed(algorithm, file.read_text(encoding="utf-8")) if file.is_file() else {}


def parsed(algorithm: str, text: str) -> dict[str, dict[str, dict[str, Any]]]:
    """The tables of such a file's text; raises UserError as `published` does."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file_of(algorithm)} is not valid TOML: {error}") from None
    file = file_of(algorithm)
    for group, tables in found.items():
        if group not in GROUPS:
            valid = "[families.NAME] and [environments.ID]"
            raise UserError(f"{file} has {group!r}{nearest(group, GROUPS)} (tables are {valid})")
        for name, table in tables.items() if isinstance(tables, dict) else [(group, tables)]:
            if not isinstance(table, dict):
                raise UserError(f"{file} has {name} = {table!r} outside a table: put it under [{group}.…]")
    return found


def published_environments(algorithm: str) -> list[str]:
    """The environments an algorithm has hyperparameters of its own for."""
    return list(published(algorithm).get("environments", {}))


def version_in(environments: Collection[str], asked: str) -> str:
    """What is asked for, if it is among these; else another version of it, of Hopper-v4 Hopper-v5, if one is."""
    name = asked.rpartition("-v")[0]
    others = (other for other in environments if other.rpartition("-v")[0] == name)
    return asked if asked in environments else next(others, asked)
