"""The commands that the command line advises are such as work."""

from __future__ import annotations

import shlex
import sys

import pytest
from command_line import TINY

from rlzoo import load

OWN = "own_envs:Own-v0"
MODULE = (
    "import gymnasium\n"
    "gymnasium.register('Own-v0', 'gymnasium.envs.classic_control.cartpole:CartPoleEnv', max_episode_steps=9)\n"
)


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
