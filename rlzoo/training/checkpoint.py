"""Saving and loading: a checkpoint is a folder, whole or not there at all.

Nothing is pickled or evaluated, no module named in a file is imported: a stranger's checkpoint is safe to load.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from rlzoo.backend import Engine
from rlzoo.envs import is_harmless, name_of
from rlzoo.errors import UserError, printable
from rlzoo.policies.spaces import from_plain, to_plain
from rlzoo.training import checkpoint_files as files
from rlzoo.training.arrays import REPLAY, Part, digest, digest_without_replay, fitted, flat
from rlzoo.training.bounds import BoundedGenerator, check_views, check_widths, most_for
from rlzoo.training.complaints import brief
from rlzoo.training.resolve import Resolved, validate, warn_of_idle


class Unmade(UserError):
    """A class of one's own that is made by its `__init__` alone: nothing is wrong with what was saved of it."""


def save(agent: Any, path: str | Path, replay: bool = False, evaluation_return: float | None = None) -> Path:
    """Write a checkpoint of `agent` as the folder `path`; an older checkpoint there is replaced when this one is whole.

    Of a link to an older one it is the link that is replaced. Raises UserError if `path` is something other than a
    checkpoint.
    """
    path = Path(path)
    try:
        if path.exists() and not files.is_checkpoint(path):
            mend = "choose another name, or move away what else is there"
            raise UserError(f"{path} exists and is not a checkpoint: nothing was written; {mend}")
        old = files.old_of(path)
        with agent.whole.lock, _beside(path) as beside:
            arrays = flat(agent.arrays(replay))
            save_file(arrays, beside / files.ARRAYS)
            digests = {"sha256": digest(beside / files.ARRAYS), "sha256_without_replay": digest_without_replay(arrays)}
            described = manifest(agent) | digests
            if evaluation_return is not None:
                described["evaluation_return"] = evaluation_return
            (beside / files.MANIFEST).write_text(json.dumps(described, indent=1), encoding="utf-8")
            shutil.copymode(beside / files.MANIFEST, beside / files.ARRAYS)  # which was written for its owner alone
            for name in (files.ARRAYS, files.MANIFEST):
                with open(beside / name, "rb") as file:
                    os.fsync(file.fileno())
            if path.exists() or path.is_symlink():
                _remove(old)
                os.replace(path, old)
            os.replace(beside, path)
        for hidden in [] if old.is_symlink() else files.hidden_in(old):
            os.replace(hidden, path / hidden.name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write checkpoint {path} ({error}); an older one there is untouched") from error
    _remove(old)
    return path


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, which is not there afterwards: it was renamed, or what it has is not whole."""
    folder = path.with_name(f".{path.name}.writing")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove(path: Path) -> None:
    """Remove a folder, or a link to one and nothing of what it leads to, as far as that can be done."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def manifest(agent: Any) -> dict[str, Any]:
    """All that is no array: what the agent is, its hyperparameters, its generator and its counters."""
    return {
        "format": files.FORMAT,
        "algorithm": agent.name,
        "kind": type(agent).__name__,
        "environment": agent.environment_name,
        "environment_is_id": isinstance(agent.env, str),
        "observation_space": to_plain(agent.observation_space),
        "action_space": to_plain(agent.action_space),
        "config": agent.config.model_dump(mode="json"),
        "sources": agent.resolved.sources,
        "seed": agent.seed,
        "backend": agent.engine.name,
        "steps": agent.steps,
        "total_steps": agent.total_steps,
        "generator": agent.rng.bit_generator.state,
        "episodes": agent.episodes.plain(),
    }


def load(
    path: str | Path, find: Callable[[str], Any], env: Any = None, backend: str | None = None, device: str = "auto",
    eager: bool = False, replay: bool | None = None, **hyperparameters: Any,
) -> Any:  # fmt: skip
    """The agent saved at `path`: a checkpoint folder, or a run, whose latest checkpoint is taken.

    `find` gives an algorithm's class by name; `replay` says whether its replay is read, without which it is where the
    engine learns; `hyperparameters` take the place of those that it was saved with. Raises UserError for a folder that
    is neither, for a checkpoint that is not whole or does not fit them, and for one of another class.
    """
    path = files.at(Path(path))
    engine = Engine(backend, device, eager)
    found, arrays = files.read(path, engine.learns if replay is None else replay)
    kind = _kind_of(path, found, find)
    if env is None and found["environment_is_id"] and is_harmless(found["environment"]):
        env = found["environment"]  # else it is for the user to say
    elif env is not None:
        found["environment"] = name_of(env)  # which a checkpoint of the agent is to name
    if hyperparameters:
        _override(found, hyperparameters, find(found["algorithm"]), bool(Part(arrays, REPLAY)))
    try:
        return agent_of(found, arrays, find, env, engine)
    except Unmade:
        raise
    except Exception as error:  # whatever a stranger's values provoke
        reason = brief(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {brief(error)}"
        if hyperparameters:
            given = ", ".join(f"{name} = {value!r}" for name, value in hyperparameters.items())
            raise UserError(f"checkpoint {path} does not fit {given} ({reason})") from error
        if not kind.__module__.startswith("rlzoo."):  # it may have been changed meanwhile
            mend = "load it with the class as it was when the agent was saved"
            raise UserError(f"checkpoint {path} does not fit {kind.__name__} ({reason}): {mend}") from error
        raise UserError(f"checkpoint {path} is damaged ({reason}): {files.mend_of(path)}") from error


def _override(found: dict[str, Any], hyperparameters: dict[str, Any], kind: Any, replay: bool) -> None:
    """Write other hyperparameters into a manifest.

    Raises UserError for one that is not valid or is not read again, and for other `n_envs` than wrote a `replay`, whose
    rows tell by their place which environment they are of, or another exponent than its priorities have.
    """
    config = validate(kind.name, kind.Config, found["config"] | hyperparameters)
    for name in hyperparameters:
        if name in kind.Config.at_first:
            raise UserError(f"{name} is what a new {kind.name} begins with, not one that is loaded: leave it out")
    for name, of in (("n_envs", "{} environments"), ("priority_exponent", "priorities made with {}")):
        asked = getattr(config, name, None)
        wrote = found["config"].get(name, asked)
        if replay and asked != wrote and config.idle(name) is None:
            mend = f"load(path, replay=False, {name}={asked}) learns on without it"
            raise UserError(f"{name} = {asked} does not fit the replay, which is of {of.format(wrote)}: {mend}")
    warn_of_idle(kind.name, config, hyperparameters)
    if "steps" in hyperparameters:
        found["total_steps"] = config.steps
    found["config"] |= hyperparameters
    found["sources"] |= dict.fromkeys(hyperparameters, "load")


def _kind_of(path: Path, found: dict[str, Any], find: Callable[[str], Any]) -> Any:
    """The class that `find` gives for an agent's algorithm; raises UserError if the agent is of another."""
    kind, mend = printable(found["kind"]), f"{printable(found['kind'])}.load(path) loads it"
    try:
        expected = find(found["algorithm"])
    except UserError:  # it is one's own, by a name of its own
        unknown = f"of the unknown algorithm {found['algorithm']!r}"
        raise UserError(f"{path} holds an agent of the class {kind}, {unknown}: in Python {mend}") from None
    if found["kind"] != expected.__name__:
        raise UserError(f"{path} holds an agent of the class {kind}, not {expected.__name__}: {mend}")
    return expected


def agent_of(
    found: dict[str, Any], arrays: Mapping[str, np.ndarray], find: Any, env: Any, engine: Engine, trusted: bool = False
) -> Any:
    """The agent that a manifest describes, with these arrays; unless `trusted`, nothing is made that is much larger."""
    kind = find(found["algorithm"])
    config = validate(kind.name, kind.Config, found["config"])
    size = arrays["state/parameters"].size
    most: float = math.inf if trusted else most_for(size)
    spaces = from_plain(found["observation_space"], most), from_plain(found["action_space"], most)
    if not trusted:
        check_views(config, *spaces)
        check_widths(config, size)
    agent = kind.__new__(kind)
    try:
        agent._set_up(env, spaces, Resolved(config, found["sources"]), engine, found["seed"], BoundedGenerator(most))
    except AttributeError as error:
        if error.obj is not agent:
            raise
        mend = "make it a field of its Config, or an attribute of the class"
        told = f"{kind.__name__} has no {error.name!r} where it is loaded or copied, for no __init__ is called there"
        raise Unmade(f"{told}: {mend}") from error
    agent.environment_name = found["environment"]
    replay, whole = Part(arrays, REPLAY), fitted(agent.arrays(), arrays)
    for name in {part.split("/")[0] for part in Part(arrays, "normalizers/")} - {*agent.normalizers}:
        raise ValueError(f"it was learned with normalize_{name} = true")
    agent.restore(found, whole | ({"replay": replay} if replay else {}))
    return agent
