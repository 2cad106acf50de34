"""What may happen while an agent learns, counted in environment steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlzoo.errors import UserError, whole_number
from rlzoo.training.evaluate import CHOOSING, Evaluation, seed_of_evaluation

PLAIN = re.compile(r"[^,\"\r\n]+")  # a name that stands in a CSV's header as it is


class Callback:
    """Told of each event of `learn`; override what you need. Raise `StopTraining` to end training early."""

    columns: tuple[str, ...] = ()
    """Names of what it gives to `agent.log`, for which a run's `metrics.csv` is to have columns."""

    def on_start(self, agent: Any) -> None:
        """Before the first step."""

    def on_steps(self, agent: Any) -> None:
        """After each learning phase; `agent.steps` has advanced by at least one step of each environment."""

    def on_log(self, agent: Any, record: dict[str, float]) -> None:
        """A row of metrics: before `on_steps` of the same phase, or in it what a callback gave to `agent.log`."""

    def on_checkpoint(self, agent: Any) -> None:
        """At a checkpoint, after `on_steps`: all that the next step depends on can be saved now.

        Also where training was ended early by `StopTraining`.
        """

    def on_end(self, agent: Any) -> None:
        """After the last step, also when training was interrupted."""


class StopTraining(Exception):
    """Raised in a callback to end training early, once the other callbacks have been told of the same event.

    In `on_start` it ends before training begins for this callback and those after it: they are not told of an end.
    """


def checked(callbacks: Any) -> Sequence[Callback]:
    """The callbacks; raises UserError if they are not a sequence of such, with names of columns that a CSV can have."""
    for callback in callbacks if isinstance(callbacks, Sequence) else [callbacks]:
        if not isinstance(callback, Callback) or callback is callbacks:
            mend = "callbacks must be a list of Callback objects, such as [Every(1000, function)]"
            raise UserError(f"callback {callback!r} is not valid: {mend}")
        names = callback.columns
        if not isinstance(names, tuple | list) or not all(isinstance(x, str) and PLAIN.fullmatch(x) for x in names):
            mend = "it must be a tuple of names without commas or quotes, such as ('sharpe',)"
            raise UserError(f"columns = {names!r} of {type(callback).__name__} is not valid: {mend}")
    return callbacks


def tell(callbacks: Sequence[Callback], event: str, *arguments: Any) -> None:
    """Tell all of them of an event; where one of them wants to stop, it is raised when all have been told."""
    stop = None
    for callback in callbacks:
        try:
            getattr(callback, event)(*arguments)
        except StopTraining as asked:
            stop = asked
    if stop is not None:
        raise stop


class Every(Callback):
    """Calls `function(agent)` whenever another `steps` environment steps have passed."""

    def __init__(self, steps: int, function: Any):
        if not callable(function):
            raise UserError(f"function = {function!r} is not valid: it must take the agent, as print does")
        self.steps, self.function, self.seen = whole_number("steps", steps), function, 0

    def on_start(self, agent: Any) -> None:
        self.seen = agent.steps // self.steps

    def on_steps(self, agent: Any) -> None:
        if agent.steps // self.steps > self.seen:
            self.seen = agent.steps // self.steps
            self.function(agent)


class Evaluate(Every):
    """Evaluates every `steps` environment steps and logs `evaluation_return`; stops at `stop_at` if that is given.

    It plays in `env`, episodes of at most `longest` steps, as `agent.evaluate` takes them. They are the same each time,
    and not those of `agent.evaluate()`: an agent chosen by its return here is not judged by what it was chosen on.
    `last` is the latest of its evaluations.
    """

    last: Evaluation | None = None

    def __init__(
        self, steps: int, episodes: int = 20, stop_at: float | None = None, env: Any = None, longest: int | None = None
    ):
        super().__init__(steps, self.evaluate)
        if stop_at is not None and not (isinstance(stop_at, int | float | np.number) and np.isfinite(stop_at)):
            raise UserError(f"stop_at = {stop_at!r} is not valid: it must be a return, such as 475.0, or None")
        self.episodes, self.stop_at, self.env = whole_number("episodes", episodes), stop_at, env
        self.longest = None if longest is None else whole_number("longest", longest)

    def on_start(self, agent: Any) -> None:
        super().on_start(agent)
        if self.env is None and not isinstance(agent.env, str):
            agent.separate_environment().close()  # one that cannot be copied is to be known before training

    def evaluate(self, agent: Any) -> None:
        seed = seed_of_evaluation(agent.seed, CHOOSING)
        self.last = result = agent.evaluate(self.episodes, seed=seed, env=self.env, longest=self.longest)
        success = {} if result.success_rate is None else {"evaluation_success_rate": result.success_rate}
        agent.log({"evaluation_return": result.mean_return, "evaluation_std": result.std_return} | success)
        if self.stop_at is not None and result.mean_return >= self.stop_at:
            raise StopTraining
