"""The losses and whole updates on every engine in float32, against NumPy in float64 with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from loss_cases import CASES, UPDATES, holding_stopped_values, loss_case, update_case
from parity import assert_close, compiled

LOSSES, AFTER = {}, {}
FEW = 8  # losses in one compiled call: engines take seconds to compile a function and no time to run it
GROUPS = [tuple(CASES)[i : i + FEW] for i in range(0, len(CASES), FEW)]


def expected(results, case, monkeypatch, name):
    """The reference of a case, worked out once."""
    if name not in results:
        _, function, arguments = case(name)
        with holding_stopped_values(monkeypatch):
            results[name] = function(*arguments)
    return results[name]


@pytest.mark.parametrize("names", GROUPS, ids=lambda names: f"{names[0]} to {names[-1]}")
def test_losses_and_gradients(engine, monkeypatch, names):
    cases = {name: loss_case(name)[1:] for name in names}

    def all_of_them(arguments):
        return {name: function(*arguments[name]) for name, (function, _) in cases.items()}

    got = compiled(engine, all_of_them, {name: arguments for name, (_, arguments) in cases.items()})
    for name in names:
        assert_close(got[name], expected(LOSSES, loss_case, monkeypatch, name), 1e-5)


@pytest.mark.parametrize("name", UPDATES)
def test_parameters_after_many_updates(engine, monkeypatch, name):
    """50 gradient steps; of PPO with memory 5, of A2C one.

    Of TRPO it is one update, whose reference has second derivatives good to 1e-4.
    """
    _, update, arguments = update_case(name)
    want = expected(AFTER, update_case, monkeypatch, name)
    moved = np.abs(want[0]["parameters"] - arguments[0]["parameters"])
    assert np.median(moved) > 0.01, "the updates must move the parameters for their agreement to mean anything"
    assert_close(compiled(engine, update, *arguments), want, 1e-3 if name == "trpo" else 1e-4)


def test_every_algorithm_is_among_the_cases():
    from rlzoo.algorithms import ALGORITHMS

    assert {algorithm for algorithm, *_ in CASES.values()} == set(ALGORITHMS)
