"""The live line of a run: steps, steps a second, recent return, last evaluation, time left, where the time goes."""

from __future__ import annotations

import sys
import time
from typing import Any

from rlzoo.training.callbacks import Callback
from rlzoo.training.profile import Profile

LIVE_EVERY, PLAIN_EVERY = 0.2, 10.0  # seconds between updates on a terminal, and between lines elsewhere


class ProgressLine(Callback):
    """One line that is rewritten on a terminal; elsewhere a line of plain text every ten seconds."""

    def __init__(self, stream: Any = None):
        self.stream = stream or sys.stdout
        self.live, self.is_read = self.stream.isatty(), True
        self.evaluation: float | None = None

    def on_start(self, agent: Any) -> None:
        self.shown = time.perf_counter()
        if self.live:
            from rich.console import Console
            from rich.live import Live

            self.display = Live("", console=Console(file=self.stream), auto_refresh=False)
            self.display.start()

    def on_log(self, agent: Any, record: dict[str, float]) -> None:
        self.evaluation = record.get("evaluation_return", self.evaluation)

    def on_steps(self, agent: Any) -> None:
        now = time.perf_counter()
        if now - self.shown >= (LIVE_EVERY if self.live else PLAIN_EVERY):
            self.shown = now
            self._show(agent)

    def on_end(self, agent: Any) -> None:
        self._show(agent)
        if self.live:
            self.display.stop()

    def _show(self, agent: Any) -> None:
        line = describe(agent, self.evaluation)
        if self.live:
            from rich.text import Text

            self.display.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            self._print(line)

    def _print(self, line: str) -> None:
        try:
            if self.is_read:
                print(line, file=self.stream, flush=True)
        except BrokenPipeError:
            self.is_read = False  # nobody reads it any more, as after `| head -1`: training goes on


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
