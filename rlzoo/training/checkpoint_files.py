"""The files of checkpoints and where they lie: reading what is whole, and finding those of a run.

A checkpoint is a folder with `manifest.json`, all that is no array, and `arrays.safetensors`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rlzoo.errors import UserError, printable
from rlzoo.training import arrays
from rlzoo.training.complaints import brief, readable

FORMAT = 1
MANIFEST, ARRAYS = "manifest.json", "arrays.safetensors"
RUN = "run.json"  # what makes a folder a run
OF_STEP = "step_{:012d}"  # what a run calls its checkpoint after so many steps
CHECKPOINT = re.compile(r"step_[0-9]{12}")


Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Episodes(BaseModel):
    finished: Count
    returns: list[float]
    lengths: list[Count]
    successes: list[float]


class Manifest(BaseModel):
    """What `manifest.json` holds: all that is no array."""

    model_config = ConfigDict(strict=True)

    format: int
    algorithm: str
    kind: str  # the name of the agent's class
    sha256: str  # of the file of the arrays
    sha256_without_replay: str  # of what is read by one who only acts
    evaluation_return: float | None = None  # of a run's best checkpoint
    environment: str
    environment_is_id: bool
    observation_space: dict[str, Any]
    action_space: dict[str, Any]
    config: dict[str, Any]
    sources: dict[str, str]
    seed: int = Field(ge=0)
    backend: str
    steps: Count
    total_steps: int = Field(ge=1)
    generator: dict[str, Any]
    episodes: _Episodes


def at(path: Path) -> Path:
    """The checkpoint at this folder: itself, or the latest of a run; raises UserError if it is neither."""
    with readable(path):
        if not standing(path).is_dir():
            raise UserError(f"no such folder: {path}")
        return path if (standing(path) / MANIFEST).is_file() else latest_of(path)


def old_of(path: Path) -> Path:
    """Where the checkpoint that was at `path` is for the moment between the two renames."""
    return path.with_name(f".{path.name}.old")


def standing(path: Path) -> Path:
    """`path`, or where its checkpoint is since saving was interrupted between the two renames."""
    return old_of(path) if not path.exists() and is_checkpoint(old_of(path)) else path


def is_checkpoint(path: Path) -> bool:
    """Whether this is a folder of a checkpoint's files, and of no others that show, which alone may be replaced."""
    return path.is_dir() and {*path.iterdir()} - {*hidden_in(path)} == {path / MANIFEST, path / ARRAYS}


def hidden_in(path: Path) -> list[Path]:
    """What a system or a person left in a folder unseen, such as .DS_Store: none of ours, and kept."""
    return [file for file in path.iterdir() if file.name.startswith(".")] if path.is_dir() else []


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint folder; raises UserError if it is not whole."""
    with readable(path):
        if not (path / MANIFEST).is_file():
            raise UserError(f"{path} is not a checkpoint: it has no {MANIFEST}")
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(found, dict) and isinstance(found.get("format"), int | None) and found.get("format") != FORMAT:
            raise UserError(f"checkpoint {path} has format {found.get('format')!r}; this rlzoo reads format {FORMAT}")
        return Manifest.model_validate(found).model_dump()
    except UserError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        damage = brief(error)
    raise UserError(f"checkpoint {path / MANIFEST} is damaged ({damage}): {mend_of(path)}")


def read(path: Path, replay: bool) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """The manifest and the arrays by name of a checkpoint folder, with its replay or without.

    One that is replaced meanwhile is read again. Raises UserError if what is read is not whole.
    """
    place = standing(path)
    found = read_manifest(place)
    try:
        return found, arrays.stored(place / ARRAYS, (found["sha256"], found["sha256_without_replay"]), replay)
    except Exception as error:  # whatever a stranger's header provokes
        damage = brief(error)
    if standing(path) != place or read_manifest(place)["sha256"] != found["sha256"]:
        return read(path, replay)
    raise UserError(f"checkpoint {place / ARRAYS} is truncated or damaged ({damage}): {mend_of(place)}")


def mend_of(path: Path) -> str:
    """What to do about a damaged checkpoint; which earlier one of its run is whole, where one is."""
    if (path.parent / RUN).is_file():  # its best, without which it goes on
        return f"remove {printable(path)}; the run itself is in {printable(path.parent / 'checkpoints')}"
    before = _checkpoints_in(path.parent) if CHECKPOINT.fullmatch(path.name) else []
    earlier = next((each for each in reversed(before) if each.name < path.name and _is_whole(each)), None)
    named = f", such as {printable(earlier)}" if earlier else ""
    return f"use an earlier one{named}; if you remove this folder, --resume goes on from the one before"


def _is_whole(path: Path) -> bool:
    try:
        found = Manifest.model_validate(json.loads((path / MANIFEST).read_text(encoding="utf-8")))
        return found.sha256 == arrays.digest(path / ARRAYS)
    except (OSError, ValueError, RecursionError):
        return False


def checkpoints_of(run: Path) -> list[Path]:
    """The checkpoints of a run, oldest first; whatever else lies beside them is none."""
    return _checkpoints_in(run / "checkpoints")


def remains_in(run: Path) -> list[Path]:
    """What is left of checkpoints of a run that were removed, but not to the end: folders of no manifest."""
    return [path for path in _named_in(run / "checkpoints") if path.is_dir() and {*path.iterdir()} <= {path / ARRAYS}]


def _checkpoints_in(folder: Path) -> list[Path]:
    return [path for path in _named_in(folder) if (path / MANIFEST).is_file()]


def _named_in(folder: Path) -> list[Path]:
    """What lies in a folder under the name of a checkpoint of a run, in order."""
    with readable(folder):
        inside = folder.iterdir() if folder.is_dir() else ()
        return sorted(path for path in inside if CHECKPOINT.fullmatch(path.name))


def latest_of(run: Path) -> Path:
    """The newest checkpoint of a run; raises UserError if there is none yet, or if the folder is no run."""
    check_run(run)
    found = checkpoints_of(run)
    if not found:
        raise UserError(f"run {run} has no checkpoint yet: it was stopped before the first")
    return found[-1]


def check_run(folder: Path) -> None:
    """Raises UserError if this folder is no run."""
    with readable(folder):
        if not folder.is_dir():
            raise UserError(f"no such folder: {folder}")
        if not (folder / RUN).is_file():
            made = "`rlzoo train` makes runs, in runs/ by default"
            raise UserError(f"{folder} is not a run: it has no {RUN} ({made})")
