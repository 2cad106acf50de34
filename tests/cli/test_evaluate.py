"""`rlzoo evaluate` and `rlzoo play`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from command_line import python
from counting import Coins
from engines import ALL
from PIL import Image, ImageSequence

from rlzoo import PPO, load
from rlzoo.cli.record import Recording
from rlzoo.training.evaluate import Evaluation


def test_the_json_holds_the_returns(rlzoo, trained):
    found = rlzoo("evaluate", "run", "--json", "--episodes", 7, "--seed", 11).json()
    assert set(found) == {
        "mean_return", "std_return", "returns", "lengths", "episodes", "seed", "stochastic", "algorithm", "environment",
        "steps", "backend", "cut", "success_rate",
    }  # fmt: skip
    assert (found["episodes"], found["seed"], found["stochastic"], found["steps"]) == (7, 11, False, 2048)
    assert (found["algorithm"], found["environment"], found["backend"]) == ("ppo", "CartPole-v1", "jax")
    assert found["lengths"] == found["returns"] and len(found["returns"]) == 7
    assert found["mean_return"] == pytest.approx(np.mean(found["returns"]))
    assert found["std_return"] == pytest.approx(np.std(found["returns"]))
    again = load(trained).evaluate(7, seed=11)
    assert list(again.returns) == found["returns"]


def test_twenty_episodes_and_the_agents_own_seed_are_the_default(rlzoo, trained):
    first, second = (rlzoo("evaluate", "run", "--json").json() for _ in range(2))
    assert first == second and first["episodes"] == 20
    assert tuple(first["returns"]) == load(trained).evaluate().returns
    text = rlzoo("evaluate", "run").out
    assert text.startswith(f"mean return {first['mean_return']:.1f} ± {first['std_return']:.1f} over 20 episodes")


def test_stochastic_actions_are_others_and_drawn_from_the_seed(rlzoo, trained):
    deterministic = rlzoo("evaluate", "run", "--json", "--seed", 1).json()
    first, second = (rlzoo("evaluate", "run", "--json", "--seed", 1, "--stochastic").json() for _ in range(2))
    assert first == second and first["stochastic"] is True
    assert first["returns"] != deterministic["returns"]


@pytest.mark.parametrize("backend", ["numpy", "jax"])
def test_every_engine_plays_alike(rlzoo, trained, backend):
    here, there = (rlzoo("evaluate", "run", "--json", "--backend", name).json() for name in ("torch", backend))
    assert there["backend"] == backend and there["returns"] == here["returns"]


def test_a_checkpoint_and_a_saved_agent_are_evaluated_too(rlzoo, trained):
    load(trained).save("saved")
    expected = rlzoo("evaluate", "run", "--json").out
    assert rlzoo("evaluate", "saved", "--json").out == expected
    assert rlzoo("evaluate", "run/checkpoints/step_000000002048", "--json").out == expected


def test_another_environment_must_fit(rlzoo, trained):
    refused = rlzoo("evaluate", "run", "--env", "Acrobot-v1")
    assert refused.status == 2 and "'Acrobot-v1' does not fit run: " in refused.err
    assert "the agent's observation space is Box(" in refused.err and "(4,)" in refused.err


def test_the_replay_is_read_where_learning_goes_on_alone(rlzoo, monkeypatch):
    small = ["--set", "hidden=8", "learning_starts=10", "buffer_size=100", "--backend", "torch"]
    made = rlzoo("train", "--algo", "dqn", "--env", "CartPole-v1", *small, "--steps", 200, "--quiet", "--out", "run")
    assert made.status == 0, made.err
    read = []
    monkeypatch.setattr("rlzoo.buffers.ReplayBuffer.restore", lambda self, arrays: read.append(len(arrays["reward"])))
    assert rlzoo("evaluate", "run", "--episodes", 1).status == 0 and not read
    assert rlzoo("train", "--resume", "run", "--steps", 8, "--quiet").status == 0 and read == [100]


def test_playing_needs_a_display(rlzoo, trained, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    outcome = rlzoo("play", "run")
    assert (outcome.status, outcome.out) == (2, "") and "no display" in outcome.err and outcome.err.count("\n") == 1


def test_playing_shows_episodes(rlzoo, trained, monkeypatch):
    pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr("gymnasium.envs.classic_control.cartpole.CartPoleEnv.metadata",
                        {"render_modes": ["human", "rgb_array"], "render_fps": 100_000})  # fmt: skip
    outcome = rlzoo("play", "run", "--episodes", 2, "--seed", 5)
    assert outcome.status == 0, outcome.err
    returns = [float(line.split("return ")[1].split()[0]) for line in outcome.out.splitlines()]
    agent = load(trained)
    assert returns == [agent.evaluate(1, seed=seed).returns[0] for seed in (5, 6)]


def test_an_animation_has_the_frames_of_an_episode(rlzoo, trained, monkeypatch):
    """CartPole is shown 50 times a second, so a step is a frame of 20 ms."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    outcome = rlzoo("play", "run", "--seed", 5, "--gif", "cart.gif")
    assert outcome.status == 0, outcome.err
    played = load(trained).evaluate(1, seed=5)
    assert outcome.out.splitlines() == [
        f"episode 1: return {played.returns[0]:.1f} in {played.lengths[0]} steps", "written: cart.gif",
    ]  # fmt: skip
    window = gym.make("CartPole-v1", render_mode="rgb_array")
    window.reset(seed=5)
    with Image.open("cart.gif") as animation:
        assert animation.info["loop"] == 0
        frames, durations = [], []
        for frame in ImageSequence.Iterator(animation):
            frames.append(np.asarray(frame.convert("RGB"), int))
            durations.append(frame.info["duration"])
    assert sum(durations) == 20 * played.lengths[0]  # one of frames alike is shown longer
    assert np.abs(frames[0] - window.render()).mean() < 2.0 < np.abs(frames[0] - frames[-1]).max()


def test_without_a_display_an_animation_is_made_in_silence(rlzoo, trained, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    process = python("-m", "rlzoo", "play", "run", "--gif", "cart.gif", cwd=Path.cwd())
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "") and out.endswith("written: cart.gif\n")


def test_without_a_display_mujoco_draws_too(monkeypatch, tmp_path):
    """It would look for a window system; where there is neither that nor EGL, a line says what to set."""
    if not ALL:
        pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    PPO("InvertedPendulum-v5", backend="numpy", n_envs=1).save("saved")
    process = python("-m", "rlzoo", "play", "saved", "--backend", "numpy", "--gif", "pendulum.gif", cwd=tmp_path)
    out, err = process.communicate()
    if process.returncode == 0:
        assert out.endswith("written: pendulum.gif\n")
    else:
        assert process.returncode == 2 and err.startswith("error: MuJoCo cannot draw") and err.count("\n") == 1


@pytest.mark.parametrize(("path", "message"), [
    ("run.mp4", "does not end in .gif"), ("there.gif", "is there already"),
    ("nowhere/a.gif", "there is no folder nowhere"), ("x" * 300 + ".gif", "(File name too long): choose another"),
])  # fmt: skip
def test_an_animation_that_cannot_be_written(path, message, rlzoo, trained):
    Path("there.gif").write_text("kept")
    outcome = rlzoo("play", "run", "--gif", path)
    assert (outcome.status, outcome.out) == (2, "") and message in outcome.err and outcome.err.count("\n") == 1
    assert Path("there.gif").read_text() == "kept"


def test_a_fast_environment_shows_every_other_step():
    class Fast:
        metadata: ClassVar = {"render_fps": 125}

        def render(self):
            return (np.zeros((4, 6, 3), np.uint8),)

    recording = Recording(Fast())
    for _ in range(7):
        recording.take()
    assert (recording.every, recording.duration, len(recording.frames)) == (3, 24.0, 3)


def test_playing_stochastically_the_agent_knows_no_coin_beforehand(rlzoo, monkeypatch):
    """Right half the time: within 70 and 130 of 200, which is 4.2 standard deviations."""
    monkeypatch.setitem(gym.registry, "Coins-v0", gym.envs.registration.EnvSpec("Coins-v0", Coins))
    module = import_module("rlzoo.cli.play")  # `rlzoo.cli` has the function by that name
    monkeypatch.setattr(module, "_shown", lambda agent, run, mode: agent.separate_environment())
    PPO("Coins-v0", backend="numpy", hidden=(8,)).save("saved")
    outcome = rlzoo("play", "saved", "--stochastic", "--episodes", 2)
    returns = [float(line.split("return ")[1].split()[0]) for line in outcome.out.splitlines()]
    assert len(returns) == 2 and all(70 <= each <= 130 for each in returns), outcome.err


def test_json_of_a_return_that_is_no_number_is_json(rlzoo, trained, monkeypatch):
    result = Evaluation((float("nan"), 1.0), (1, 2), seed=0)
    monkeypatch.setattr("rlzoo.training.acting.Actor.evaluate", lambda *arguments, **options: result)
    outcome = rlzoo("evaluate", "run", "--json")
    assert "NaN" not in outcome.out
    assert (outcome.json()["returns"], outcome.json()["mean_return"]) == ([None, 1.0], None)
