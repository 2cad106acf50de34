"""Mistakes in an environment of one's own: one line names the environment and the mistake."""

from __future__ import annotations

import sys

import pytest
from command_line import TINY

TRAIN = ["train", "--algo", "ppo", *TINY[2:], "--n-envs", 2, "--steps", 128, "--quiet"]
MODULE = """
import gymnasium as gym
import numpy as np

class Fine(gym.Env):
    metadata = {"render_modes": ["rgb_array"]}
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, True, False, {}

    def render(self):
        return np.zeros((8, 8, 3), np.uint8)

class Old(Fine):
    def reset(self):
        return np.zeros(2, np.float32)

class Broken(Fine):
    def __init__(self, render_mode=None):
        raise AttributeError("its own")

for name in ("Fine", "Old", "Broken", "Missing"):
    gym.register(f"rlzoo-tests/{name}-v0", f"own_mistakes:{name}", max_episode_steps=9)
gym.register("rlzoo-tests/NoClass-v0", "own_mistakes.Fine")
"""
MISTAKES = {
    "own_mistakes:rlzoo-tests/Missing-v0": ["'own_mistakes:Missing'", "no attribute 'Missing'", "module:Class"],
    "own_mistakes:rlzoo-tests/NoClass-v0": ["no entry point 'own_mistakes.Fine'", "register it as module:Class"],
    "own_mistakes:rlzoo-tests/Old-v0": [
        "<Old<rlzoo-tests/Old-v0>>", "its reset got an unexpected keyword argument 'seed'",
        "write def reset(self, *, seed=None, options=None)",
    ],
    "own_syntax:Own-v0": ["cannot import 'own_syntax'", "invalid syntax (own_syntax.py, line 3)"],
    "own_script:Own-v0": ["cannot import 'own_script' (it ends Python", 'if __name__ == "__main__":'],
}  # fmt: skip


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    """Modules of one's own in the folder the test is in."""
    (tmp_path / "own_mistakes.py").write_text(MODULE)
    (tmp_path / "own_syntax.py").write_text("import gymnasium\n\ndef reset(:\n")
    (tmp_path / "own_script.py").write_text("import sys\n\nsys.exit(0)\n")
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.mark.parametrize("env", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(rlzoo, tmp_path, env):
    outcome = rlzoo(*TRAIN, "--env", env)
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert outcome.err.startswith("error: environment ")
    for told in MISTAKES[env]:
        assert told in outcome.err
    assert not (tmp_path / "runs").exists()


def test_a_module_is_not_looked_for_in_a_folder_that_was_removed(rlzoo, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    outcome = rlzoo(*TRAIN, "--env", "own_elsewhere:Own-v0")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith("error: environment 'own_elsewhere:Own-v0': cannot import 'own_elsewhere' (")


def test_what_goes_wrong_within_it_keeps_its_traceback(rlzoo):
    with pytest.raises(AttributeError, match="its own"):
        rlzoo(*TRAIN, "--env", "own_mistakes:rlzoo-tests/Broken-v0")


def test_no_window_for_an_environment_that_does_not_say_how_fast_it_is(rlzoo, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = ["--env", "own_mistakes:rlzoo-tests/Fine-v0"]
    assert rlzoo(*TRAIN, *env, "--out", "run").status == 0
    outcome = rlzoo("play", "run", *env)
    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert f"environment {env[1]!r} cannot be shown: its metadata says no render_fps, such as 30" in outcome.err
