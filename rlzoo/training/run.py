"""A run is a folder: what made it, its config, its metrics, its checkpoints."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any

from rlzoo import __version__, envs
from rlzoo.errors import UserError
from rlzoo.training.callbacks import Callback
from rlzoo.training.loggers import CSVLogger, TensorBoardLogger, best_evaluation

DISTRIBUTIONS = {"tensorflow": ("tensorflow-cpu", "tensorflow")}  # where it is not the engine's own name


def framework_version(engine: str) -> str:
    """The installed version of an engine's framework, or "unknown"; imports nothing."""
    for distribution in DISTRIBUTIONS.get(engine, (engine,)):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"


class Run(Callback):
    """The folder of a run, and the callback that writes it.

    ```
    run.json            the command, the versions, the machine
    config.json         every resolved hyperparameter and where it came from
    metrics.csv         a row every thousand steps or more; appended, never rewritten
    tensorboard/        the same for `tensorboard --logdir`
    checkpoints/        step_000010240/, … each whole, the latest two kept
    best/               the checkpoint with the highest evaluation_return, where the run is evaluated (--eval-every)
    ```
    """

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep
        self.checkpoints = folder / "checkpoints"

    @classmethod
    def create(cls, folder: str | Path | None, agent: Any, command: list[str], **options: Any) -> Run:
        """A new run's folder; without a name, the next free one under `runs/`. Raises UserError if it is taken.

        `options` are kept for `option`.
        """
        description = cls.description(agent, command, options)  # first: the engine may have no such device
        values = agent.config.model_dump(mode="json")
        config = {name: {"value": values[name], "from": agent.resolved.sources[name]} for name in values}
        try:
            run = cls(_claim_next(agent) if folder is None else _claim(Path(folder)))
            run.checkpoints.mkdir()
            _write_json(run.folder / "config.json", config)
            _write_json(run.folder / "run.json", description)
        except OSError as error:
            where = f"{error.filename} ({error.strerror})"
            raise UserError(f"cannot make a run's folder at {where}: choose another --out") from None
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run at this folder; raises UserError if it is none."""
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"no such folder: {folder}")
        if not (folder / "run.json").is_file():
            raise UserError(f"{folder} is no run: it has no run.json (`rlzoo train` makes runs, in runs/ by default)")
        return cls(folder)

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
        """Add to `run.json` that the run goes on from the step of `agent`, by which command and versions."""
        description = self._description()
        noted = {"from_step": agent.steps, **self.description(agent, command, options)}
        _write_json(self.folder / "run.json", description | {"resumed": [*description["resumed"], noted]})

    def option(self, name: str) -> Any:
        """An option as the run was last made or gone on with; None where it had none."""
        description = self._description()
        return [description, *description["resumed"]][-1].get("options", {}).get(name)

    def _description(self) -> dict[str, Any]:
        """What `run.json` holds, "resumed" among it; raises UserError if it is not whole."""
        path = self.folder / "run.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            found["resumed"] = [dict(each) for each in found.get("resumed", [])]
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"{path} is damaged ({error})") from None
        return found

    def latest_checkpoint(self) -> Path:
        """The newest whole checkpoint; raises UserError if there is none yet."""
        if not self.has_checkpoint:
            raise UserError(f"run {self.folder} has no checkpoint yet: it was stopped before the first")
        return max(self.checkpoints.glob("step_*"))

    @property
    def has_checkpoint(self) -> bool:
        return any(self.checkpoints.glob("step_*"))

    # ---- as a callback -----------------------------------------------------------------------------------------------
    def on_start(self, agent: Any) -> None:
        self.loggers: list[CSVLogger | TensorBoardLogger] = [
            CSVLogger(self.folder / "metrics.csv", agent.columns(), agent.steps),
            TensorBoardLogger(self.folder / "tensorboard"),
        ]
        self.best = best_evaluation(self.folder / "metrics.csv")
        if not self.has_checkpoint:
            self.on_checkpoint(agent)  # a run can be gone on with from its first moment

    def on_log(self, agent: Any, record: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.write(record)
        if record.get("evaluation_return", -math.inf) > self.best:
            self.best = record["evaluation_return"]
            agent.save(self.folder / "best")

    def on_checkpoint(self, agent: Any) -> None:
        agent.save(self.checkpoints / f"step_{agent.steps:012d}", replay=True)
        for old in sorted(self.checkpoints.glob("step_*"))[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def on_end(self, agent: Any) -> None:
        for logger in self.loggers:
            logger.close()


def _write_json(path: Path, value: Any) -> None:
    beside = path.with_name(f".{path.name}.writing")
    beside.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def _claim(folder: Path) -> Path:
    """Make the folder, or take it over where it is empty; raises UserError where it is not."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty: nothing was written; choose another --out, or --resume")
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
