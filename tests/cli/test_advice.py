"""The commands that the command line advises are such as work."""

from __future__ import annotations

import shlex
import sys

import pytest
from command_line import TINY
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rlzoo import PPO, load
from rlzoo.training.run import Run

OWN = "own_envs:Own-v0"
MODULE = (
    "import gymnasium\n"
    "gymnasium.register('Own-v0', 'gymnasium.envs.classic_control.cartpole:CartPoleEnv', max_episode_steps=9)\n"
)


class Named(CartPoleEnv):
    """An environment that no id makes."""


@pytest.fixture
def own_envs(tmp_path, monkeypatch):
    """A module that registers an environment, in the folder the test is in."""
    (tmp_path / "own_envs.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture
def of_ones_own(rlzoo, own_envs):
    """A run of 256 steps in that environment, `run`."""
    words = ["--env", OWN, *TINY[2:], "--steps", 256, "--quiet", "--out", "run"]
    assert rlzoo("train", "--algo", "ppo", *words).status == 0


def advised(text):
    """The words of the command that is advised at the end of a line, without "rlzoo"."""
    return shlex.split(text.strip().rpartition("rlzoo ")[2])


def test_ctrl_c_in_an_environment_of_ones_own_says_how_to_go_on(rlzoo, own_envs, monkeypatch):
    def interrupted(run, agent):
        if agent.steps >= 256:
            raise KeyboardInterrupt

    words = ["--env", OWN, *TINY[2:], "checkpoint_every=128", "--steps", 512, "--out", "run"]
    with monkeypatch.context() as patch:
        patch.setattr("rlzoo.training.run.Run.on_steps", interrupted)
        stopped = rlzoo("train", "--algo", "ppo", *words)
    assert stopped.status == 130 and stopped.err.count("\n") == 1
    assert advised(stopped.err) == ["train", "--resume", "run", "--env", OWN]
    assert rlzoo(*advised(stopped.err)).status == 0
    assert load("run").steps == 512


def test_a_finished_run_in_an_environment_of_ones_own_says_how_to_go_on(rlzoo, of_ones_own):
    refused = rlzoo("train", "--resume", "run", "--env", OWN)
    assert refused.status == 2 and "is finished" in refused.err
    assert advised(refused.err) == ["train", "--resume", "run", "--env", OWN, "--steps", "256"]
    assert rlzoo(*advised(refused.err)).status == 0


def test_another_environment_than_ones_own_is_refused_with_the_one_to_give(rlzoo, of_ones_own):
    refused = rlzoo("train", "--resume", "run", "--env", "CartPole-v1", "--steps", 128)
    assert refused.status == 2 and f"run has {OWN}; give --env {OWN}, if you trust it" in refused.err


def test_a_run_of_an_object_goes_on_by_the_id_that_was_given_and_again(rlzoo, own_envs):
    """The class's name was kept as if it were an id: the id was then refused, and so was leaving it out."""
    agent = PPO(Named(), backend="torch", seed=0, n_steps=16, batch_size=16, n_epochs=1, hidden=(8,))
    with Run.create("run", agent, ["mine.py"]) as run:
        agent.learn(64, callbacks=[run])
    refused = rlzoo("train", "--resume", "run", "--steps", 64)
    assert refused.status == 2 and "run was trained on 'Named'" in refused.err and "give --env ID" in refused.err
    finished = rlzoo("train", "--resume", "run", "--env", OWN)
    for words in [*advised(finished.err)[:-1], 64], ["train", "--resume", "run", "--env", OWN, "--steps", 64]:
        assert rlzoo(*words, "--quiet").status == 0
    refused = rlzoo("train", "--resume", "run", "--steps", 64)
    assert refused.status == 2 and f"give --env {OWN}, if you trust it" in refused.err
    assert rlzoo("train", "--resume", "run", "--env", "Acrobot-v1", "--steps", 64).status == 2
    assert load("run", env=OWN).steps == 192
