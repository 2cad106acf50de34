"""Ctrl-C and other threads come between steps: what was learned is taken over whole, what acts is what is saved."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading

import numpy as np
import pytest
from engines import require
from tiny_agents import leaves, make, observations

from rlzoo import load
from rlzoo.training.callbacks import Every
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


class Beside:
    """An update in whose middle, when the state is given away, another thread takes something of the agent."""

    def __init__(self, take, agent):
        self.update, self.calls, self.found = agent.compiled_update, 0, ()
        self.thread = threading.Thread(target=lambda: setattr(self, "found", take(agent)))

    def __call__(self, *arguments):
        updated = self.update(*arguments)
        self.calls += 1
        if self.calls == 2:  # of a state that is the engine's
            self.thread.start()
            self.thread.join(0.2)
        return updated


@pytest.mark.parametrize("kind, changes", [("ppo", {}), ("ppo", dict(overlap=True)), ("sac", {}), ("pictures", {})])
@pytest.mark.parametrize("engine_name", ["jax", "torch"])
def test_what_another_thread_takes_of_an_agent_that_learns_is_whole(kind, changes, engine_name, tmp_path):
    require(engine_name)

    def taken(agent):
        agent.act(observations(agent, 2))
        saved = load(agent.save(tmp_path / "saved", replay=True), env=agent.env, backend=engine_name)
        return pickle.loads(pickle.dumps(agent)), copy.deepcopy(agent), saved

    states = []
    agent = make(kind, engine_name, **changes)
    agent.learn(60, callbacks=[Every(1, lambda agent: states.append(copy.deepcopy(agent.arrays()["state"])))])
    agent = make(kind, engine_name, **changes)
    states.append(agent.arrays()["state"])
    beside = vars(agent)["compiled_update"] = Beside(taken, agent)
    agent.learn(60)
    beside.thread.join()
    assert len(beside.found) == 3
    for one in beside.found:
        state = leaves(one.arrays()["state"])
        assert any(all(np.array_equal(state[name], x) for name, x in leaves(each).items()) for each in states)
