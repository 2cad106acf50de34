"""The losses and whole updates on every engine in float32, against NumPy in float64 with finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from loss_cases import AGENTS, holding_stopped_values, loss_case, update_case
from parity import assert_close, compiled

LOSSES, UPDATES = {}, {}


def expected(results, case, monkeypatch, name):
    """The reference of a case, worked out once."""
    if name not in results:
        _, function, arguments = case(name)
        with holding_stopped_values(monkeypatch):
            results[name] = function(*arguments)
    return results[name]


@pytest.mark.parametrize("name", AGENTS)
def test_loss_and_gradient(engine, monkeypatch, name):
    _, loss, arguments = loss_case(name)
    assert_close(compiled(engine, loss, *arguments), expected(LOSSES, loss_case, monkeypatch, name), 1e-5)


@pytest.mark.parametrize("name", AGENTS)
def test_parameters_after_50_updates(engine, monkeypatch, name):
    _, update, arguments = update_case(name)
    want = expected(UPDATES, update_case, monkeypatch, name)
    moved = np.abs(want[0]["parameters"] - arguments[0]["parameters"])
    assert np.median(moved) > 0.01, "50 updates must move the parameters for their agreement to mean anything"
    assert_close(compiled(engine, update, *arguments), want, 1e-4)
