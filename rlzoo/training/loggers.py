"""Where metrics go: a CSV that is appended to, and TensorBoard."""

from __future__ import annotations

import csv
import math
import os
import sys
import types
from pathlib import Path
from typing import Any

from rlzoo.errors import UserError


class CSVLogger:
    """Appends rows to a CSV with a fixed header; a resumed run first drops the rows after its checkpoint."""

    def __init__(self, path: Path, columns: list[str], from_step: int):
        self.path, self.columns = path, columns
        is_new = not path.exists() or path.stat().st_size == 0
        if not is_new:
            self.columns = _drop_rows_after(path, from_step)
        self.file = open(path, "a", newline="", encoding="utf-8")  # noqa: SIM115
        self.writer = csv.DictWriter(self.file, self.columns, extrasaction="ignore", restval="")
        if is_new:
            self.writer.writeheader()

    def write(self, record: dict[str, float]) -> None:
        row = {name: f"{value:.7g}" if isinstance(value, float) else value for name, value in record.items()}
        self.writer.writerow(row)
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def _drop_rows_after(path: Path, step: int) -> list[str]:
    """Cut a metrics file after the last row of at most `step` steps; its columns."""
    with open(path, "rb+") as file:
        columns = file.readline().decode(errors="replace").strip().split(",")
        if "steps" not in columns:
            raise UserError(f"{path} is damaged: its first line names no column 'steps'; move it away to go on")
        position = columns.index("steps")
        end = file.tell()
        for line in file:
            fields = line.decode().split(",")
            if not line.endswith(b"\n") or int(float(fields[position])) > step:
                break
            end += len(line)
        file.truncate(end)
        file.seek(0, os.SEEK_END)
    return columns


def best_evaluation(path: Path) -> float:
    """The highest `evaluation_return` in a metrics file; minus infinity where there is none."""
    with open(path, newline="", encoding="utf-8") as file:
        values = [float(row["evaluation_return"]) for row in csv.DictReader(file) if row.get("evaluation_return")]
    return max(values, default=-math.inf)


class TensorBoardLogger:
    """Scalars for `tensorboard --logdir`, by TensorBoard's own writer."""

    def __init__(self, folder: Path):
        # TensorBoard imports TensorFlow, if it is there, for its file system; this module's presence tells it not to.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        from tensorboard.summary import Writer

        self.writer = Writer(str(folder))

    def write(self, record: dict[str, Any]) -> None:
        step = int(record["steps"])
        for name, value in record.items():
            if name != "steps":
                self.writer.add_scalar(name.replace("time_", "time/"), float(value), step)

    def close(self) -> None:
        self.writer.close()
