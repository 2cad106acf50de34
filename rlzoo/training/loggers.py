"""Where metrics go: a CSV that is appended to, and TensorBoard."""

from __future__ import annotations

import csv
import math
import os
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

from rlzoo.errors import UserError
from rlzoo.training.profile import Profile
from rlzoo.training.within import opener

LATER = ("success_rate", "evaluation_success_rate")  # which few environments tell, and none before an episode ends


class CSVLogger:
    """Appends rows to a CSV; a resumed run first drops the rows after its checkpoint.

    The header is fixed, but what is `LATER` becomes a column when it is first given: the file is then written anew.
    `seconds` is the time that training had taken by the last row that was there.
    Raises UserError for a file that is damaged.
    """

    def __init__(self, path: Path, columns: list[str], from_step: int):
        kept, self.seconds = _drop_rows_after(path, from_step, columns) if path.exists() else ([], 0.0)
        self.path, self.columns = path, kept or columns
        self._open()
        if not kept:
            self.writer.writeheader()
            self.file.flush()

    def _open(self) -> None:
        self.file = open(self.path, "a", newline="", encoding="utf-8", opener=opener)  # noqa: SIM115
        self.writer = csv.DictWriter(self.file, self.columns, extrasaction="ignore", restval="")

    def write(self, record: dict[str, float]) -> None:
        for name in LATER:
            if name in record and name not in self.columns:
                self._add_column(name)
        row = {name: f"{value:.7g}" if isinstance(value, float) else value for name, value in record.items()}
        self.writer.writerow(row)
        self.file.flush()

    def _add_column(self, name: str) -> None:
        """One more column, empty in the rows that are there; the file with it takes the place of that without."""
        self.file.close()
        header, *rows = self.path.read_text(encoding="utf-8").splitlines()
        beside = self.path.with_name(f".{self.path.name}.writing")
        with open(beside, "w", newline="\r\n", encoding="utf-8", opener=opener) as file:
            file.writelines(f"{line}\n" for line in [f"{header},{name}", *(f"{row}," for row in rows)])
        os.replace(beside, self.path)
        self.columns = [*self.columns, name]
        self._open()

    def close(self) -> None:
        self.file.close()


def _drop_rows_after(path: Path, step: int, columns: list[str]) -> tuple[list[str], float]:
    """Cut a metrics file after the last row of at most `step` steps; the seconds in that row, 0 if it has none.

    First come its columns, none if not even they are whole.
    """
    kept: list[str] = []
    row: dict[str, float] = {}
    header = (",".join(columns) + "\r\n").encode()
    with open(path, "rb+", opener=opener) as file:
        end = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n") and (kept or header.startswith(line)):
                break  # a killed run was writing it
            try:
                if not kept:
                    kept = _columns(line)
                elif (found := _numbers(kept, line))["steps"] > step:
                    break
                else:
                    row = found
            except ValueError:
                mend = "correct it, or move the file away to go on with a new one"
                raise UserError(f"{path} is damaged in line {number} ({line[:40]!r}): {mend}") from None
            end += len(line)
        file.truncate(end)
    seconds = row.get("seconds", 0.0)
    return kept, seconds if math.isfinite(seconds) else 0.0


def _columns(line: bytes) -> list[str]:
    """The columns that a header names; raises ValueError if "steps" is not among them, or the line is not whole."""
    columns = line.decode().rstrip("\r\n").split(",")
    if "steps" not in columns or not line.endswith(b"\n"):
        raise ValueError
    return columns


def _numbers(columns: list[str], line: bytes) -> dict[str, float]:
    """A row's numbers by column; raises ValueError for what is no row of these columns."""
    texts = line.decode().rstrip("\r\n").split(",")
    row = {name: float(text) for name, text in zip(columns, texts, strict=True) if text}
    if not row.get("steps", math.nan).is_integer():
        raise ValueError
    return row


class TensorBoardLogger:
    """Scalars for `tensorboard --logdir`, by TensorBoard's own writer; what lies after `from_step` it will not show."""

    def __init__(self, folder: Path, from_step: int):
        # TensorBoard imports TensorFlow, if it is there, for its file system; this module's presence tells it not to.
        sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        folder.mkdir(exist_ok=True)
        probe = folder / ".probe"
        with open(probe, "a", opener=opener):  # what may not be written is to be known here, not in a thread of theirs
            pass
        probe.unlink()
        self.before, threading.excepthook = threading.excepthook, self._failed
        self.event, self.scalar, self.writer = Event, scalar_pb, EventFileWriter(str(folder))
        self._add(from_step + 1, session_log=SessionLog(status=SessionLog.START))  # from this step on

    def _failed(self, thread: threading.ExceptHookArgs) -> None:
        """Told what ended a thread. What the writer's thread keeps, its next call raises, as on a full disk."""
        if getattr(thread.thread, "exception", None) is not thread.exc_value:
            self.before(thread)

    def write(self, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if name != "steps":
                tag = name.replace("_", "/", 1) if name in Profile.columns else name
                self._add(int(record["steps"]), summary=self.scalar(tag, float(value)))

    def _add(self, step: int, **what: Any) -> None:
        self.writer.add_event(self.event(wall_time=time.time(), step=step, **what))

    def close(self) -> None:
        try:
            self.writer.close()
        finally:
            threading.excepthook = self.before
