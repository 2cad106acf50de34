"""A run is a folder: what made it, its config, its metrics, its checkpoints."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rlzoo import __version__, envs
from rlzoo.errors import UserError
from rlzoo.training import checkpoint, lock
from rlzoo.training import checkpoint_files as files
from rlzoo.training.callbacks import Callback
from rlzoo.training.complaints import brief
from rlzoo.training.loggers import CSVLogger, TensorBoardLogger
from rlzoo.training.within import opener

DISTRIBUTIONS = {"tensorflow": ("tensorflow-cpu", "tensorflow")}  # where it is not the engine's own name


class _Options(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    eval_every: int | None = Field(default=None, ge=1)
    stop_at: float | None = Field(default=None, allow_inf_nan=False)


class _Part(BaseModel):
    """A part of a run, from where it was made or gone on with."""

    model_config = ConfigDict(strict=True, extra="allow")

    options: _Options = _Options()


class Description(_Part):
    """What is read of `run.json`; the rest is for people, and kept."""

    resumed: list[_Part] = []


def framework_version(engine: str) -> str:
    """The installed version of an engine's framework, or "unknown"; imports nothing."""
    for distribution in DISTRIBUTIONS.get(engine, (engine,)):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"


class Run(Callback):
    """The folder of a run, and the callback that writes it. To train, it is claimed: `with run: …`.

    ```
    run.json            the command, the versions, the machine
    config.json         every resolved hyperparameter and where it came from
    metrics.csv         a row every thousand steps or more; resuming first cuts off those after the checkpoint
    tensorboard/        the same for `tensorboard --logdir`
    checkpoints/        step_000010240/, … each whole, the latest two kept
    best/               the checkpoint with the highest evaluation_return, where the run is evaluated (--eval-every)
    ```
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep
        self.checkpoints = folder / "checkpoints"
        self.resumption: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        """Raises UserError if another process trains the run, or if nothing can be written in its folder."""
        self.claim = lock.claim(self.folder)
        return self

    def __exit__(self, *error: Any) -> None:
        self.claim.close()

    @classmethod
    def create(cls, folder: str | Path | None, agent: Any, command: list[str], **options: Any) -> Run:
        """A new run's folder; without a name, the next free one under `runs/`. Raises UserError if it is taken.

        `options` are kept for `option`.
        """
        description = cls.description(agent, command, options)  # first: the engine may have no such device
        values = agent.config.model_dump(mode="json")
        config = {name: {"value": values[name], "from": agent.resolved.sources[name]} for name in values}
        made: Path | None = None
        try:
            made = _claim_next(agent) if folder is None else _claim(Path(folder))
            run = cls(made)
            run.checkpoints.mkdir()
            _write_json(run.folder / "config.json", config)
            _write_json(run.folder / files.RUN, description)
        except OSError as error:
            if made is not None:
                shutil.rmtree(made, ignore_errors=True)
            where = f"{error.filename or made} ({error.strerror})"
            raise UserError(f"cannot make a run's folder at {where}: choose another --out") from None
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run at this folder; raises UserError if it is none."""
        files.check_run(Path(folder))
        return cls(Path(folder))

    @staticmethod
    def description(agent: Any, command: list[str], options: dict[str, Any]) -> dict[str, Any]:
        packages = ["numpy", "gymnasium", agent.engine.name]
        versions = {"rlzoo2": __version__} | {package: framework_version(package) for package in packages}
        return {
            "command": command,
            "options": options,
            "algorithm": agent.name,
            "environment": agent.environment_name,
            "environment_is_id": isinstance(agent.env, str),
            "vectorization": envs.form_of(agent.collector.stepper.env),
            "seed": agent.seed,
            "backend": agent.engine.name,
            "device": agent.engine.device,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "versions": versions,
        }

    def note_resumption(self, agent: Any, command: list[str], **options: Any) -> None:
        """Add to `run.json`, once training begins, that the run goes on, by which command and versions."""
        self.resumption = self.description(agent, command, options)

    def option(self, name: str) -> Any:
        """An option as the run was last made or gone on with; None where it had none."""
        description = self._description()
        return getattr([description, *description.resumed][-1].options, name)

    def _description(self) -> Description:
        """What `run.json` holds; raises UserError if it is not whole."""
        path = self.folder / files.RUN
        try:
            return Description.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            damage = brief(error)
        raise UserError(f"{path} is damaged ({damage}): correct it, or write {{}} there and give --eval-every again")

    def latest_checkpoint(self) -> Path:
        """The newest checkpoint; raises UserError if there is none yet."""
        return files.latest_of(self.folder)

    @property
    def has_checkpoint(self) -> bool:
        return bool(files.checkpoints_of(self.folder))

    # ---- as a callback -----------------------------------------------------------------------------------------------
    def on_start(self, agent: Any) -> None:
        """Raises UserError where the run cannot be written, or where this agent cannot go on with what it has."""
        latest = self.latest_checkpoint().name if self.has_checkpoint else files.OF_STEP.format(0)
        if agent.steps == 0 and latest != files.OF_STEP.format(0):
            mend = "Run.create makes a folder for each agent, and load goes on from what is here"
            raise UserError(f"{self.folder} has {latest}, and this agent begins at 0 steps: {mend}")
        self.seconds = 0.0  # that training took before
        self.loggers: list[CSVLogger | TensorBoardLogger] = []
        try:
            with self._writing():
                self.best = self._best_return()
                rows = CSVLogger(self.folder / "metrics.csv", agent.columns(), agent.steps)
                self.loggers.append(rows)
                self.seconds = rows.seconds
                self.loggers.append(TensorBoardLogger(self.folder / "tensorboard", agent.steps))
                if self.resumption is not None:
                    self._add_resumption(agent.steps)
        except UserError:
            self.on_end(agent)
            raise
        if not self.has_checkpoint or files.read_manifest(self.latest_checkpoint())["total_steps"] != agent.total_steps:
            self.on_checkpoint(agent)  # a run can be gone on with from its first moment, to the end that it now has

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Raises UserError where the system does not let the run's files be written, as on a full disk."""
        try:
            yield
        except UnicodeEncodeError:  # neither TensorBoard nor safetensors takes such a name
            mend = "choose another --out, or rename the folder"
            raise UserError(f"cannot write {self.folder} (its name is not UTF-8): {mend}") from None
        except OSError as error:
            where = f"{error.filename or self.folder} ({error.strerror or error})"
            raise UserError(f"cannot write {where}: to train, a run's folder must be writable and have room") from None

    def _add_resumption(self, step: int) -> None:
        kept = self._description().model_dump(exclude_unset=True)
        resumed = [*kept.get("resumed", []), {"from_step": step, **(self.resumption or {})}]
        _write_json(self.folder / files.RUN, kept | {"resumed": resumed})

    def _best_return(self) -> float:
        """The return for which `best/` was kept; minus infinity where nothing was."""
        best = files.standing(self.folder / "best")
        if not best.exists():
            return -math.inf
        found = files.read_manifest(best)["evaluation_return"]
        return found if found is not None and math.isfinite(found) else -math.inf

    def on_log(self, agent: Any, record: dict[str, float]) -> None:
        record = record | {"seconds": self.seconds + record["seconds"]}
        with self._writing():
            for logger in self.loggers:
                logger.write(record)
        found = record.get("evaluation_return", -math.inf)
        if found > self.best and math.isfinite(found):
            self.best = found
            checkpoint.save(agent, self.folder / "best", evaluation_return=found)

    def on_checkpoint(self, agent: Any) -> None:
        path = self.checkpoints / files.OF_STEP.format(agent.steps)
        for left in files.remains_in(self.folder):
            if left.name <= path.name:  # of a damaged one, before which the run went on, or of one not quite removed
                shutil.rmtree(left, ignore_errors=True)
        agent.save(path, replay=True)
        for old in files.checkpoints_of(self.folder)[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def on_end(self, agent: Any) -> None:
        with self._writing(), ExitStack() as ends:
            for logger in self.loggers:
                ends.callback(logger.close)


def _write_json(path: Path, value: Any) -> None:
    beside = path.with_name(f".{path.name}.writing")
    text = json.dumps(value, indent=1, default=_plain) + "\n"
    with open(beside, "w", encoding="utf-8", opener=opener) as file:
        file.write(text)
    os.replace(beside, path)


def _plain(value: Any) -> Any:
    """What JSON has no form of: a number of NumPy's as a number, anything else, such as a path, as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def _claim(folder: Path) -> Path:
    """Make the folder, or take it over where it is empty; raises UserError where it is not."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        mend = "choose another --out, or go on with what is there, by --resume, in Python by load and Run.open"
        raise UserError(f"{folder} exists and is not empty: nothing was written; {mend}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _claim_next(agent: Any) -> Path:
    """Make the first free folder of this algorithm, environment and seed under `runs/`."""
    stem = Path("runs") / agent.name / agent.environment_name.replace("/", "_").replace(":", "_")
    for number in count(1):
        folder = stem / f"seed_{agent.seed}_{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if stem.is_dir():
                continue
            raise
        return folder
    raise AssertionError("unreachable")
