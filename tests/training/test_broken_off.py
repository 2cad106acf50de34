"""Collecting that is broken off: an agent has taken the steps that its replay holds, and goes on from them."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlzoo import DQN

pytestmark = pytest.mark.usefixtures("ctrl_c")


class Failing(Counting):
    """Does something once, in a step of its own."""

    def __init__(self, at, fault):
        super().__init__(4)
        self.left, self.fault = at, fault

    def step(self, action):
        self.left -= 1
        if self.left == 0:
            self.fault()
        return super().step(action)


def fails():
    raise RuntimeError("the simulator is gone")


def interrupts():
    os.kill(os.getpid(), signal.SIGINT)


def agent_in(*envs):
    env = SyncVectorEnv(envs, autoreset_mode=AutoresetMode.SAME_STEP)
    return DQN(env, backend="jax", train_freq=5, batch_size=4, learning_starts=20, hidden=(4,), buffer_size=100)


@pytest.mark.parametrize("fault, error", [(fails, RuntimeError), (interrupts, KeyboardInterrupt)])
@pytest.mark.parametrize("at, kept", [(3, 0), (18, 30)])  # in a random step, and in one of the policy's
def test_steps_that_were_not_kept_are_not_counted(at, kept, fault, error):
    agent = agent_in(lambda: Failing(at, fault), lambda: Counting(4))
    with pytest.raises(error):
        agent.learn(60)
    assert agent.steps == len(agent.replay) == kept
    agent.learn(30)
    assert agent.steps == len(agent.replay) == kept + 30 and np.isfinite(agent.flat).all()


def test_ctrl_c_while_steps_are_stored_waits_until_they_are(monkeypatch):
    agent = agent_in(*[lambda: Counting(4)] * 2)
    add = agent.replay.add

    def interrupted(rows):
        interrupts()
        add(rows)

    monkeypatch.setattr(agent.replay, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        agent.learn(60)
    assert agent.steps == len(agent.replay) == 10
