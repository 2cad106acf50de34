"""Values that change over training, written as text: `3e-4`, `linear(1e-3, 0)`, `linear(1, 0.04, 0.16)`.

A schedule is a function of progress: 0 at the first environment step, 1 at the last. It is evaluated outside the
compiled update and handed in as an array, so tracing never freezes it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
FORM = re.compile(rf"^(linear|exponential)\(\s*({NUMBER})\s*(?:,\s*({NUMBER})\s*)?(?:,\s*({NUMBER})\s*)?\)$")

FORMS = "linear(start, end) or exponential(start, end)"


@dataclass(frozen=True)
class Schedule:
    """From `start` to `end` over the first `fraction` of training, then `end`."""

    start: float
    end: float
    fraction: float = 1.0
    kind: str = "constant"

    def __call__(self, progress: float) -> float:
        """The value at this progress, from 0 to 1."""
        done = min(progress / self.fraction, 1.0)
        if self.kind == "exponential":
            return self.start * (self.end / self.start) ** done
        return self.start + (self.end - self.start) * done

    def __str__(self) -> str:
        if self.kind == "constant":
            return _exact(self.start)
        tail = "" if self.fraction == 1.0 else f", {_exact(self.fraction)}"
        return f"{self.kind}({_exact(self.start)}, {_exact(self.end)}{tail})"


def _exact(x: float) -> str:
    """The shortest text that reads back as this number."""
    return f"{x:g}" if float(f"{x:g}") == x else repr(float(x))


def schedule(value: Any) -> Schedule:
    """A schedule from a number or from text; raises ValueError on anything else."""
    if isinstance(value, Schedule):
        if type(value) is not Schedule:
            raise ValueError("a schedule is saved as its text: one of a class of your own could not be read again")
        return value
    try:
        constant = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        match = FORM.match(str(value).strip())
        if match is None:
            raise ValueError(f"write a number, {FORMS}; over part of training: linear(start, end, fraction)") from None
        kind, start, end, fraction = match.groups()
        made = Schedule(float(start), float(end or 0.0), float(fraction or 1.0), kind)
        if not 0.0 < made.fraction <= 1.0:
            raise ValueError("the fraction of a schedule must be above 0 and at most 1") from None
        if kind == "exponential" and min(made.start, made.end) <= 0.0:
            raise ValueError("both ends of an exponential schedule must be positive") from None
        return made
    if not math.isfinite(constant):
        raise ValueError(f"write a finite number, {FORMS}")
    return Schedule(constant, constant)


def _plain(value: Schedule) -> float | str:
    return value.start if value.kind == "constant" else str(value)


def _at_least_0(value: Schedule) -> Schedule:
    if min(value.start, value.end) < 0.0:
        raise ValueError("it must be at least 0")
    return value


def _above_0(value: Schedule) -> Schedule:
    if value.start <= 0.0 or value.end < 0.0:
        raise ValueError("it must be greater than 0; a schedule's end, at least 0")
    return value


def _within_0_and_1(value: Schedule) -> Schedule:
    if min(value.start, value.end) < 0.0 or max(value.start, value.end) > 1.0:
        raise ValueError("it must be between 0 and 1")
    return value


Scheduled = Annotated[Schedule, BeforeValidator(schedule), AfterValidator(_at_least_0), PlainSerializer(_plain)]
"""A config field's type: a number of at least 0, or a schedule of such."""
ScheduledAbove0 = Annotated[Schedule, BeforeValidator(schedule), AfterValidator(_above_0), PlainSerializer(_plain)]
"""A config field's type: a number greater than 0, or a schedule that begins above 0."""
ScheduledShare = Annotated[Scheduled, AfterValidator(_within_0_and_1)]
"""A config field's type: a number within 0 and 1, or a schedule of such."""
