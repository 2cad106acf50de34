"""Hyperparameters as the command line takes them: `--set NAME=VALUE …`, and `--config FILE`. The config parses them."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from rlzoo.errors import UserError, printable


def whole(least: int) -> Callable[[str], int]:
    """A parser of whole numbers of at least `least`, whose complaint names what was written."""

    def parse(text: str | int) -> int:
        try:
            number = int(text) if str(text).isdigit() else _exactly(float(text))
        except (ValueError, OverflowError):
            number = least - 1
        if number < least:
            raise typer.BadParameter(f"{text!r} is not a whole number of at least {least}")
        return number

    return parse


def _exactly(number: float) -> int:
    """A whole number, such as 1e5; raises ValueError for any other, and OverflowError for infinity."""
    if number != int(number):
        raise ValueError
    return int(number)


SETTING = re.compile(r"[A-Za-z_]\w*=")
OPTIONS = ("env", "backend", "device", "seed", "eager")  # of an agent, which are none of its config's


def at_home(word: str) -> str:
    """`--out=~/runs` as `--out ~/runs`: a shell expands ~ only where a word begins with it."""
    return re.sub("^(--[a-z-]+=)(~.*)", lambda found: found[1] + os.path.expanduser(found[2]), word)


def spread(words: list[str]) -> list[str]:
    """`--set a=1 b=2` as `--set a=1 --set b=2`, for parsers know options of one value only."""
    spread_out: list[str] = []
    place = "outside"  # then "first", the word after --set, then "further" ones
    for i, word in enumerate(words):
        if word == "--":
            return spread_out + words[i:]
        if place == "first" and not SETTING.match(word):
            raise UserError(f"--set takes NAME=VALUE, such as learning_rate=3e-4, not {word!r}")
        if place == "further" and SETTING.match(word):
            spread_out.append("--set")
        elif place == "further":
            place = "outside"
        spread_out.append(word)
        if word == "--set":
            place = "first"
        elif place == "first" or word.startswith("--set="):
            place = "further"
    if place == "first":
        raise UserError("--set takes NAME=VALUE, such as learning_rate=3e-4, and nothing followed")
    return spread_out


def settings_of(given: Iterable[str] | None, config: Path | None = None, **shorthands: Any) -> dict[str, Any]:
    """The hyperparameters of `--set` and of options that are short for one, such as `--steps`, where they are not None.

    They go before those of the file `config`. Raises UserError for text that is no NAME=VALUE, for a name given twice,
    and for what is an option of `train`.
    """
    of_file = {} if config is None else settings_in(config)
    settings = {name: value for name, value in shorthands.items() if value is not None}
    for setting in given or ():
        if not SETTING.match(setting):
            raise UserError(f"--set takes NAME=VALUE, such as learning_rate=3e-4, not {setting!r}")
        name, _, value = setting.partition("=")
        if name in OPTIONS:
            option = "--eager" if name == "eager" else f"--{name} {value}"
            raise UserError(f"{name} is not a hyperparameter: give {option}")
        if name in settings:
            raise UserError(f"{name} is given twice: {settings[name]} and {value}; leave one out")
        settings[name] = value
    return of_file | settings


def settings_in(path: Path) -> dict[str, Any]:
    """The hyperparameters in a file: lines NAME = VALUE of TOML, or a run's `config.json`, or the run's folder.

    Raises UserError for a file that cannot be read or holds something else.
    """
    from rlzoo.training.resolve import DERIVED

    is_folder = os.path.isdir(path)  # False where Path's own would raise, as for a name that is too long
    file, shown = path / "config.json" if is_folder else path, printable(path)
    if is_folder and not os.path.exists(file):
        raise UserError(f"--config {shown} has no config.json: name a run's folder, or a file")
    is_json = file.suffix == ".json"
    try:
        text = file.read_text(encoding="utf-8-sig")  # Windows' editors begin a file with a mark
        found = json.loads(text) if is_json else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"cannot read --config {shown}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # of both parsers, and of what is not UTF-8
        raise UserError(f"--config {shown} cannot be read as {'JSON' if is_json else 'TOML'}: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"--config {shown} holds no hyperparameters: write lines such as learning_rate = 3e-4")
    settings = {}
    for name, value in found.items():
        if isinstance(value, dict) and str(value.get("from")).endswith(DERIVED):
            continue  # it follows from others, which may be others here
        value = value["value"] if isinstance(value, dict) and value.keys() == {"value", "from"} else value
        if name in OPTIONS:
            raise UserError(f"--config {shown} has {name}, which is not a hyperparameter: give --{name}")
        if isinstance(value, dict):
            raise UserError(f"--config {shown} has a table [{printable(name)}]: write lines NAME = VALUE alone")
        settings[name] = value
    return settings
