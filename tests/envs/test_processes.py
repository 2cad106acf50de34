"""Environments in processes of their own: learned in again after a broken-off step, or said to be gone."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

from rlzoo import PPO, UserError
from rlzoo.envs import Stepper, processes

pytestmark = pytest.mark.usefixtures("ctrl_c")
ACTION = np.zeros(2, int)


class Slow(Counting):
    """Takes its time for a step of action 1, and raises at the fifth."""

    def step(self, action):
        if action:
            time.sleep(0.3)
        if self.t == 4:
            raise ValueError("the fifth step")
        return super().step(action)


@pytest.fixture
def made():
    """Makes environments of two processes, which end with the test."""
    envs = []

    def make(kind=Counting, **settings):
        envs.append(AsyncVectorEnv([kind, kind], **settings))
        return envs[-1]

    yield make
    for env in envs:
        env.close(terminate=True)


def half_received(env):
    """Interrupted while the answers to a step were read."""
    env.step_async(ACTION)
    env.parent_pipes[0].recv()


def half_sent(env):
    """Interrupted while a step was asked for: Gymnasium does not know that one is under way."""
    env.parent_pipes[0].send(("step", 0))


BROKEN_OFF = [
    lambda env: env.step_async(ACTION), lambda env: env.reset_async(seed=1), lambda env: env.call_async("spec"),
    half_received, half_sent,
]  # fmt: skip


@pytest.mark.parametrize("shared_memory", [True, False])
@pytest.mark.parametrize("broken_off", BROKEN_OFF, ids=["step", "reset", "call", "half received", "half sent"])
def test_what_was_broken_off_is_brought_to_its_end(made, broken_off, shared_memory):
    env = made(lambda: Counting(9), shared_memory=shared_memory)
    stepper = Stepper(RecordEpisodeStatistics(env))
    stepper.reset(0)
    stepper.step(ACTION)
    broken_off(env)
    first = stepper.reset(3)
    assert first[:, 1].tolist() == [0.0, 0.0] and (first[:, 0] >= 1.0).all()
    for t in (1.0, 2.0):
        step = stepper.step(ACTION)
        assert step.reward.tolist() == [t, t] and step.observation[:, 1].tolist() == [t, t]
    assert [seeds[-1] for seeds in env.get_attr("seeds")] == [3, 4]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_an_agent_that_was_interrupted_learns_again(made, mode):
    env = made(lambda: Counting(5), autoreset_mode=mode)
    agent = PPO(env, backend="jax", n_steps=8, batch_size=16, hidden=(4,)).learn(16)
    before, calls = env.step_wait, []

    def interrupted(*arguments, **keywords):
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return before(*arguments, **keywords)

    env.step_wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        agent.learn(32)
    assert agent.learn(32).steps == 48 and np.isfinite(agent.flat).all()


def test_a_step_that_does_not_end_is_not_waited_for_ever(made, monkeypatch):
    env = made(Slow)
    stepper = Stepper(env)
    stepper.reset(0)
    env.step_async(ACTION + 1)
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"environment 0 has not .* in 0 seconds"):
        patch.setattr(processes, "PATIENCE", 0.05)
        stepper.reset(0)
    time.sleep(0.4)
    assert stepper.reset(1)[:, 1].tolist() == [0.0, 0.0]


def raised(env, stepper):
    with pytest.raises(ValueError, match="the fifth step"):
        for _ in range(5):
            stepper.step(ACTION)


def raised_unseen(env, stepper):
    for _ in range(4):
        stepper.step(ACTION)
    env.step_async(ACTION)


def killed(env, stepper):
    env.processes[1].kill()
    env.processes[1].join()


def interrupted_too(env, stepper):
    """Ctrl-C at a terminal reaches every process."""
    os.kill(env.processes[0].pid, signal.SIGINT)
    env.processes[0].join(10)


@pytest.mark.parametrize("end, message", [
    (raised, "environment 0 raised an error"), (raised_unseen, r"environment 0 raised ValueError \(the fifth step\)"),
    (killed, "environment 1 ended with exit code -9"), (interrupted_too, r"environment 0 raised KeyboardInterrupt"),
], ids=["raised", "raised unseen", "killed", "interrupted"])  # fmt: skip
def test_a_process_that_is_gone_is_said_to_be(made, end, message):
    env = made(lambda: Slow(9))
    stepper = Stepper(env)
    stepper.reset(0)
    end(env, stepper)
    with pytest.raises(UserError, match=message + r".*: make a new environment"):
        stepper.reset(0)
    with pytest.raises(UserError, match=r"environment [01] (raised|ended).*: make a new environment"):
        stepper.reset(0)


def test_an_agent_goes_on_in_an_environment_made_anew(made, tmp_path):
    env = made(lambda: Counting(5))
    agent = PPO(env, backend="jax", n_steps=8, batch_size=16, hidden=(4,)).learn(16)
    killed(env, None)
    with pytest.raises(UserError, match="make a new environment"):
        agent.learn(16)
    again = PPO.load(agent.save(tmp_path / "saved"), env=made(lambda: Counting(5)))
    assert again.learn(16).steps == 32
