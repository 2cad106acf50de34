"""Schedules: what the text means, what is refused, and that writing one out and reading it gives it back."""

from __future__ import annotations

import math

import pytest

from rlzoo.nn.schedules import Schedule, schedule


@pytest.mark.parametrize(
    "text, at_0, at_quarter, at_half, at_1",
    [
        ("3e-4", 3e-4, 3e-4, 3e-4, 3e-4),
        (0.5, 0.5, 0.5, 0.5, 0.5),
        ("linear(1e-3)", 1e-3, 0.75e-3, 0.5e-3, 0.0),
        ("linear(1e-3, 0)", 1e-3, 0.75e-3, 0.5e-3, 0.0),
        ("linear( 1 , 0.2 , 0.5 )", 1.0, 0.6, 0.2, 0.2),
        ("  linear(-1, .5)", -1.0, -0.625, -0.25, 0.5),
        ("exponential(1, 0.01)", 1.0, 10**-0.5, 0.1, 0.01),
        ("exponential(1e-2, 1e-4, .5)", 1e-2, 1e-3, 1e-4, 1e-4),
    ],
)
def test_values(text, at_0, at_quarter, at_half, at_1):
    made = schedule(text)
    assert [made(p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([at_0, at_quarter, at_half, at_1], rel=1e-12)
    assert made(1.5) == pytest.approx(at_1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("fast", "write a number"),
        ("linear", "write a number"),
        ("linear(1, 2, 3, 4)", "write a number"),
        ("linear(1; 2)", "write a number"),
        ("cosine(1, 0)", "write a number"),
        ("linear(inf, 0)", "write a number"),
        ("__import__('os')", "write a number"),
        (None, "write a number"),
        ([1.0], "write a number"),
        ("nan", "finite"),
        (math.inf, "finite"),
        (True, "finite"),
        ("linear(1, 0, 0)", "fraction"),
        ("linear(1, 0, 1.5)", "fraction"),
        ("linear(1, 0, -1)", "fraction"),
        ("exponential(1, 0)", "positive"),
        ("exponential(1)", "positive"),
        ("exponential(-1, 2)", "positive"),
        ("exponential(-1, -2)", "positive"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        schedule(text)


@pytest.mark.parametrize(
    "made",
    [
        Schedule(3e-4, 3e-4),
        Schedule(1.0 / 3.0, 1.0 / 3.0),
        Schedule(2.5e-4, 0.0, kind="linear"),
        Schedule(1.0, 0.04, 0.16, "linear"),
        Schedule(0.123456789, 1e-17, 1.0 / 3.0, "linear"),
        Schedule(1e-2, 1e-5, 0.5, "exponential"),
    ],
)
def test_text_round_trip(made):
    assert schedule(str(made)) == made
    assert schedule(made) is made


def test_text_is_short():
    assert str(schedule("linear(0.0010, 0.0)")) == "linear(0.001, 0)"
    assert str(schedule(3e-4)) == "0.0003"
    assert str(schedule("exponential(1,.5,.25)")) == "exponential(1, 0.5, 0.25)"


def test_a_schedule_of_a_class_of_ones_own_is_refused():
    class Cosine(Schedule):
        def __call__(self, progress):
            return self.start * math.cos(progress)

    with pytest.raises(ValueError, match="could not be read again"):
        schedule(Cosine(1.0, 1.0))
