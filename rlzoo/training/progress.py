"""The live line of a run: steps, steps a second, recent return, last evaluation, time left, where the time goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rlzoo.training.callbacks import Callback
from rlzoo.training.profile import Profile

LIVE_EVERY, PLAIN_EVERY = 0.2, 10.0  # seconds between updates on a terminal, and between lines elsewhere


class ProgressLine(Callback):
    """One line that is rewritten on a terminal; elsewhere a line of plain text every ten seconds."""

    def __init__(self, stream: Any = None):
        self.stream = stream or sys.stdout
        self.is_read = self.stream is not None
        is_terminal = getattr(self.stream, "isatty", bool)  # what a script puts there, to log, may only write
        self.live = self.is_read and is_terminal()
        self.evaluation: float | None = None

    def on_start(self, agent: Any) -> None:
        self.shown, self.shown_steps = time.perf_counter(), -1
        if self.live:
            from rich.console import Console
            from rich.live import Live

            self.display = Live("", console=Console(file=self.stream), auto_refresh=False)
            self._print(self.display.start)
            self.live = self.is_read

    def on_log(self, agent: Any, record: dict[str, float]) -> None:
        self.evaluation = record.get("evaluation_return", self.evaluation)

    def on_steps(self, agent: Any) -> None:
        now = time.perf_counter()
        if now - self.shown >= (LIVE_EVERY if self.live else PLAIN_EVERY):
            self.shown = now
            self._show(agent)

    def on_end(self, agent: Any) -> None:
        if agent.steps != self.shown_steps:
            self._show(agent)
        if self.live:
            with suppress(OSError):
                self.display.stop()

    def _show(self, agent: Any) -> None:
        self.shown_steps = agent.steps
        line = self._printable(describe(agent, self.evaluation))
        if self.live:
            from rich.text import Text

            has_dots = self._printable("…") == "…"
            text = Text(line, no_wrap=True, overflow="ellipsis" if has_dots else "crop")
            self._print(self.display.update, text, refresh=True)
        else:
            self._print(print, line, file=self.stream, flush=True)

    def _printable(self, text: str) -> str:
        """The text with a question mark for what the stream's encoding does not have."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return text.encode(encoding, "replace").decode(encoding)

    def _print(self, write: Callable[..., None], *arguments: Any, **options: Any) -> None:
        try:
            if self.is_read:
                write(*arguments, **options)
        except OSError:
            self.is_read = False  # as after `| head -1`, or in a terminal that was closed: training goes on


def describe(agent: Any, evaluation: float | None = None) -> str:
    """The line's text. `evaluation` is the last mean return, where there is one."""
    record = agent.profile.record(agent.steps)
    speed, returns = record["steps_per_second"], agent.episodes.returns
    threads = agent.engine.threads(agent.compiled_update)
    left = (agent.total_steps - agent.steps) / speed if speed else 0.0
    parts = [
        f"{agent.steps:,}/{agent.total_steps:,} steps",
        f"{speed:,.0f} steps/s",
        f"return {sum(returns) / len(returns):.1f}" if returns else "no episode yet",
        *([] if evaluation is None else [f"evaluation {evaluation:.1f}"]),
        f"{_duration(left)} left" if agent.steps < agent.total_steps else f"done in {_duration(record['seconds'])}",
        " ".join(f"{part} {record['time_' + part]:.0%}" for part in Profile.parts),
        "1 thread" if threads == 1 else f"{threads} threads",
    ]
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"
