"""Checkpoints: a folder with `manifest.json` and `arrays.safetensors`, whole or not there at all.

Nothing is pickled or evaluated, no module named in a file is imported: a stranger's checkpoint is safe to load.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from rlzoo.backend import Engine
from rlzoo.errors import UserError
from rlzoo.policies.spaces import from_plain, to_plain
from rlzoo.training.config import Resolved, validate

FORMAT = 1
MANIFEST, ARRAYS = "manifest.json", "arrays.safetensors"
MEND = "use an earlier one; a run does once this folder is removed"


def save(agent: Any, path: str | Path, replay: bool = False) -> Path:
    """Write a checkpoint of `agent` as the folder `path`; an older checkpoint there is replaced when this one is whole.

    Raises UserError if `path` is something other than a checkpoint.
    """
    path = Path(path)
    if path.exists() and not (path / MANIFEST).is_file():
        raise UserError(f"{path} exists and is not a checkpoint: nothing was written; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.writing")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    save_file(dict(_flat(agent.arrays(replay))), beside / ARRAYS)
    (beside / MANIFEST).write_text(json.dumps(manifest(agent), indent=1), encoding="utf-8")
    for name in (ARRAYS, MANIFEST):
        with open(beside / name, "rb") as file:
            os.fsync(file.fileno())
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        os.replace(path, old)
    os.replace(beside, path)
    shutil.rmtree(old, ignore_errors=True)
    return path


def manifest(agent: Any) -> dict[str, Any]:
    """All that is no array: what the agent is, its hyperparameters, its generator and its counters."""
    return {
        "format": FORMAT,
        "algorithm": agent.name,
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


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint folder; raises UserError if it is not whole."""
    if not (path / MANIFEST).is_file():
        raise UserError(f"{path} is no checkpoint: it has no {MANIFEST}")
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(found, dict) or "algorithm" not in found:
            raise ValueError("no algorithm is named")
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"checkpoint {path / MANIFEST} is damaged ({error}): {MEND}") from None
    if found.get("format") != FORMAT:
        raise UserError(f"checkpoint {path} has format {found.get('format')!r}; this rlzoo reads format {FORMAT}")
    return found


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the nested arrays of a checkpoint folder; raises UserError if it is not whole."""
    found = read_manifest(path)
    try:
        arrays = load_file(path / ARRAYS)
    except (SafetensorError, OSError) as error:
        raise UserError(f"checkpoint {path / ARRAYS} is truncated or damaged ({error}): {MEND}") from None
    return found, _nested(arrays)


def load(
    path: str | Path, find: Callable[[str], Any], env: Any, backend: str | None, device: str, eager: bool
) -> Any:
    """The agent saved at `path`: a checkpoint folder, or a run, whose latest checkpoint is taken.

    `find` gives an algorithm's class by name. Raises UserError for a folder that is neither, or a checkpoint that is
    not whole.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"no such folder: {path}")
    if not (path / MANIFEST).is_file():
        from rlzoo.training.run import Run

        path = Run.open(path).latest_checkpoint()
    found, arrays = read(path)
    kind = find(found["algorithm"])
    try:
        config = validate(kind.name, kind.Config, found["config"])
        agent = kind.__new__(kind)
        if env is None and found["environment_is_id"] and ":" not in found["environment"]:
            env = found["environment"]  # an id with a module would import it: that is for the user to say
        spaces = from_plain(found["observation_space"]), from_plain(found["action_space"])
        agent._set_up(env, spaces, Resolved(config, found["sources"]), Engine(backend, device, eager), found["seed"])
        agent.environment_name = found["environment"]
        _check_arrays(agent, arrays, path)
        agent.restore(found, arrays)
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"checkpoint {path} is damaged ({type(error).__name__}: {error}): {MEND}") from None
    return agent


def _check_arrays(agent: Any, arrays: dict[str, Any], path: Path) -> None:
    expected = dict(_flat({"state": agent.state}))
    found = dict(_flat({"state": arrays.get("state", {})}))
    for name, array in expected.items():
        if name not in found or found[name].shape != array.shape:
            shape = found[name].shape if name in found else "missing"
            raise UserError(f"checkpoint {path} does not fit: {name} is {shape}, expected {array.shape}")


def _flat(arrays: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for key, value in arrays.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, np.ascontiguousarray(value)


def _nested(flat: dict[str, np.ndarray]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split("/")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return nested
