"""Ctrl-C comes between steps: what was learned is taken over whole, and what acts is what is saved."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from engines import require
from tiny_agents import make

from rlzoo.training.interrupts import Whole

pytestmark = pytest.mark.usefixtures("ctrl_c")


@pytest.mark.parametrize("kind", ["ppo", "sac"])
@pytest.mark.parametrize("engine_name", ["jax", "torch"])
@pytest.mark.parametrize("place", ["compiled_update", "_sync"])
def test_interrupted_in_an_update_an_agent_takes_it_over_whole(kind, engine_name, place, monkeypatch):
    require(engine_name)
    agent = make(kind, engine_name).learn(40)
    before, after = getattr(agent, place), []

    def interrupted(*arguments):
        if not after:  # as the call begins, when the state is given away and the next one is not there
            os.kill(os.getpid(), signal.SIGINT)
        after.append(before(*arguments))
        return after[-1]

    with monkeypatch.context() as patch:
        patch.setitem(vars(agent), place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            agent.learn(40)
    assert len(after) >= 1
    np.testing.assert_array_equal(agent.flat, agent.engine.to_numpy(agent.state["parameters"]))
    steps = agent.steps
    assert agent.learn(20).steps == steps + 20


def test_a_signal_waits_for_the_end_of_what_is_whole_and_no_longer():
    whole, log = Whole(), []
    with pytest.raises(KeyboardInterrupt), whole.watched():
        with whole:
            os.kill(os.getpid(), signal.SIGINT)
            log.append("to its end")
        log.append("no further")
    assert log == ["to its end"]
    with pytest.raises(KeyboardInterrupt), whole.watched():
        os.kill(os.getpid(), signal.SIGINT)
        log.append("at once")
    assert log == ["to its end"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_learning_in_another_thread_leaves_signals_alone():
    require("torch")
    agent, before = make("ppo", "torch"), signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=agent.learn, args=(20,))
    thread.start()
    thread.join()
    assert agent.steps == 20 and signal.getsignal(signal.SIGINT) is before
