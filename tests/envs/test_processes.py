"""Environments in processes of their own: the same as in one, learned in again after a broken-off step, or gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
from counting import Counting
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from masked import Masked

from rlzoo import PPO, SAC, UserError
from rlzoo.envs import Stepper, form_of, make, name_of, processes

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


class Told(Masked):
    """Says of each episode whether it succeeded, and writes every observation over the last."""

    def __init__(self):
        super().__init__(5)
        self.room = np.zeros(self.observation_space.shape, np.float32)

    def reset(self, *, seed=None, options=None):
        self.room[:], info = super().reset(seed=seed, options=options)
        return self.room, info | {"word": object()}  # which no process can tell another

    def step(self, action):
        self.room[:], reward, terminated, truncated, info = super().step(action)
        return self.room, reward, terminated, truncated, info | {"is_success": self.episode % 2 == 0}


gym.register("InProcesses-v0", Told)


def test_processes_tell_what_copies_in_turn_tell():
    views = {"action_masks": True, "frame_stack": 2}
    forms = {form: make("InProcesses-v0", 2, infos=False, vectorization=form, **views) for form in ("sync", "async")}
    assert {form_of(env) for env in forms.values()} == set(forms)
    assert name_of(forms["async"]) == "InProcesses-v0"
    steppers = [Stepper(env) for env in forms.values()]
    seen = [stepper.reset(3) for stepper in steppers]
    for _ in range(12):
        np.testing.assert_equal(seen[1], seen[0])
        steps = [stepper.step(seen[0]["action_mask"].argmax(1)) for stepper in steppers]
        np.testing.assert_equal(steps[1], steps[0])
        np.testing.assert_equal(steppers[1].outcome, steppers[0].outcome)
        seen = [step.observation for step in steps]
    assert steppers[1].outcome.success is not None
    forms["async"].close()


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_an_agent_learns_in_processes_as_in_one(algorithm):
    settings = {"n_steps": 8} if algorithm is PPO else {"learning_starts": 8}
    settings |= dict(backend="jax", n_envs=2, batch_size=8, hidden=(4,))
    alone, spread = (algorithm("Pendulum-v1", vectorization=form, **settings).learn(64) for form in ("sync", "async"))
    assert np.array_equal(alone.flat, spread.flat) and form_of(spread.vector_env) == "async"
    assert spread.evaluate(1).mean_return == alone.evaluate(1).mean_return
    spread.vector_env.close()


def alive(processes):
    return [number for number in processes if os.path.exists(f"/proc/{number}/status")]


SCRIPT = """
import os, signal, sys, time
from rlzoo.envs import make
if {guard}:
    env = make("Pendulum-v1", 2, vectorization="async")
    env.reset(seed=0)
    print(*(process.pid for process in env.processes), flush=True)
    time.sleep(60)
"""


def started(tmp_path, guard='__name__ == "__main__"'):
    (tmp_path / "script.py").write_text(SCRIPT.format(guard=guard))
    return subprocess.Popen(
        [sys.executable, tmp_path / "script.py"], env=os.environ | {"PYTHONPATH": os.getcwd()}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_processes_end_with_the_one_that_made_them_and_say_nothing(tmp_path, how):
    process = started(tmp_path)
    numbers = process.stdout.readline().split()
    assert len(alive(numbers)) == 2, process.communicate()
    os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()  # Ctrl-C at a terminal reaches all
    _, said = process.communicate(timeout=60)
    end = time.monotonic() + 30
    while alive(numbers) and time.monotonic() < end:
        time.sleep(0.02)
    assert not alive(numbers) and said.count("Traceback") == (how == signal.SIGINT), said


def test_a_script_that_would_start_itself_again_is_told_how_not_to(tmp_path):
    process = started(tmp_path, guard="True")
    assert "UserError: the process of an environment ended as it began" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
