"""Trained agents, from the folders that commands name."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlzoo.errors import UserError, printable


def trust(env: str | None) -> str | None:
    """An environment that a person named; the module of "package.module:EnvId" may lie in the folder they are in."""
    if env is not None and ":" in env:
        with suppress(FileNotFoundError):  # of a folder that was removed
            sys.path += {os.getcwd()} - {*sys.path}
    return env


def quoted(text: object) -> str:
    """Text as a word of a command to copy: in quotes where a shell needs them, with escapes for what does not print.

    A path that begins as an option does is one of this folder.
    """
    word = printable(text)
    return shlex.quote(f"./{word}" if word.startswith("-") else word)


def vouched(agent: Any, folder: Path) -> str:
    """` --env NAME` for a command to copy, where what `folder` names is not made on a file's word; else nothing."""
    from rlzoo.envs import is_harmless

    found = _manifest(folder)
    known = found["environment_is_id"] and is_harmless(found["environment"])
    return "" if known else f" --env {quoted(agent.environment_name)}"


def _manifest(folder: Path) -> dict[str, Any]:
    from rlzoo.training import checkpoint_files as files

    return files.read_manifest(files.standing(files.at(folder)))


def load_agent(
    folder: Path, env: str | None, backend: str | None, device: str = "auto", eager: bool = False, replay: bool = False
) -> Any:
    """The agent of a run or of a saved agent's folder, with an environment to be in; with its `replay` to learn on.

    A checkpoint may name a module to import for its environment, or a text to give to it; only a person's `--env` makes
    that happen. Raises UserError without it, and for an environment whose spaces are not the agent's.
    """
    from rlzoo import load

    agent = load(folder, env=trust(env), backend=backend, device=device, eager=eager, replay=replay)
    if agent.env is None:
        name = agent.environment_name
        mend = f"--env {quoted(name)}, if you trust it" if ":" in name or "," in name else "--env ID"
        raise UserError(f"{printable(folder)} was trained on {name!r}, which is not made on a file's word: give {mend}")
    trained_on = _manifest(folder)["environment"]
    if env is not None and env != trained_on:
        vector_env = agent.separate_environment()
        try:
            agent.check_fit(vector_env)
        except UserError as error:
            mend = f"it was trained on {printable(trained_on)}"
            raise UserError(f"environment {env!r} does not fit {printable(folder)}: {error} ({mend})") from None
        finally:
            vector_env.close()
    return agent
