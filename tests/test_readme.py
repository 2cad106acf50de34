"""What the README says is so: its code runs, its commands are taken, its tables name what there is."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import typer
from engines import require

import rlzoo
from rlzoo import cli
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.cli.settings import settings_of
from rlzoo.training.callbacks import StopTraining

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^rlzoo train --algo (\w+) --env (\S+) --set (.+)$", README, re.M)
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)
SHORTER = {"100_000": "2_048", "50_000": "1_024", "20_000": "2_048", "10_000": "1_024"}


def section(title):
    """The text under a heading."""
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def block(text):
    """The one block of code that has this text."""
    (code,) = [code for code in BLOCKS if text in code]
    return code


def run(text, names):
    """Run the block that has this text, with fewer steps."""
    code = block(text)
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    exec(compile(code, "README.md", "exec"), names)
    return names


# ---- the command line ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("algorithm, env, settings", COMMANDS)
def test_the_commands_that_combine_parts_make_agents_that_act(algorithm, env, settings):
    agent = find(algorithm)(env, backend="numpy", **settings_of(settings.split()))
    seen, _ = agent.vector_env.reset(seed=0)
    first = np.ones(agent.config.n_envs, np.bool_)
    actions = agent.player(agent.config.n_envs, None)(seen, first)
    assert agent.vector_env.action_space.contains(np.asarray(actions, agent.vector_env.action_space.dtype))


def test_the_commands_were_found_and_every_algorithm_is_named():
    assert len(COMMANDS) == 4
    table = section("Algorithms")
    assert all(f"`{name}`" in table and f"`{kind}`" in table for name, kind in ALGORITHMS.items())


@pytest.mark.parametrize("command", ["train", "evaluate", "play", "show"])
def test_the_synopsis_has_every_option(command):
    synopsis = re.search(r"```\n(rlzoo train.*?)```", README, re.S)[1]
    lines = "\n".join(re.findall(rf"^rlzoo {command} .*(?:\n +\[.*)*", synopsis, re.M))
    found = typer.main.get_command(cli.app).commands[command].params
    options = {option for each in found for option in each.opts if option.startswith("--")} - {"--help"}
    assert options and options == set(re.findall(r"--[a-z-]+", lines))


# ---- the code --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names that the section "In Python" leaves, its blocks run one after another in a folder, `folder`."""
    require("jax")
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RLZOO_BACKEND", "jax")
        found = run("import gymnasium as gym\nfrom rlzoo import PPO, load", {"folder": folder})
        found["continued"] = repr(found["agent"]), found["agent"].config.learning_rate(0.0)
        run("class StopWhenSolved", found)
        run("class MyPPO", found)
    return found


def test_an_agent_acts_and_is_saved_and_continues_with_another_learning_rate(names):
    assert names["action"] in (0, 1) and names["observation"].shape == (4,)
    assert names["continued"] == ("<PPO on CartPole-v1, jax, 2,048 steps>", 1e-4)
    assert rlzoo.load(names["folder"] / "cartpole", backend="numpy").steps == 2048


def test_each_agent_that_a_callback_saves_has_a_folder_of_its_own(names):
    saved = {path.name: rlzoo.load(path, backend="numpy").steps for path in names["folder"].glob("at_*")}
    assert saved == {"at_3072": 3072, "at_4096": 4096}


def test_the_run_has_metrics_checkpoints_and_its_best(names):
    run = names["folder"] / "runs" / "mine"
    columns, *rows = (line.split(",") for line in (run / "metrics.csv").read_text(encoding="utf-8").splitlines())
    evaluated = [row for row in rows if row[columns.index("evaluation_return")]]
    assert [row[columns.index("steps")] for row in evaluated] == ["3072", "4096"]
    assert rlzoo.load(run, backend="numpy").steps == 4096
    best = max(float(row[columns.index("evaluation_return")]) for row in evaluated)
    assert best > 0.0 and f'"evaluation_return": {best}' in (run / "best" / "manifest.json").read_text(encoding="utf-8")
    told = section("A run is a folder")
    assert all(f"`{name}`" in told for name in (*columns[:8], *columns[-4:]))


def test_after_a_crash_the_run_goes_on_to_the_same_weights(names, tmp_path, monkeypatch):
    monkeypatch.setenv("RLZOO_BACKEND", "jax")
    run = Path(shutil.copytree(names["folder"] / "runs" / "mine", tmp_path / "mine"))
    shutil.rmtree(names["Run"].open(run).latest_checkpoint())
    agent = rlzoo.load(run)
    assert agent.steps < 4096
    with names["Run"].open(run) as opened:
        agent.learn(callbacks=[opened])
    assert agent.steps == 4096
    np.testing.assert_array_equal(agent.flat, rlzoo.load(names["folder"] / "runs" / "mine", backend="numpy").flat)


def test_the_callback_ends_training_once_it_is_solved(names):
    callback = names["StopWhenSolved"]()
    assert callback.on_log(None, {"episode_return": 474.0}) is None and callback.on_log(None, {}) is None
    with pytest.raises(StopTraining):
        callback.on_log(None, {"episode_return": 475.0})


def test_a_layer_of_ones_own_stands_before_the_networks_on_another_engine_too(names):
    require("torch")
    assert repr(names["agent"]) == "<MyPPO on CartPole-v1, jax, 2,048 steps>"
    assert names["agent"].params["encoder"]["1"]["kernel"].shape == (4, 32)
    other = names["MyPPO"].load(names["folder"] / "mine", backend="torch")
    np.testing.assert_array_equal(other.flat, names["agent"].flat)


def test_what_readers_are_told_to_import_is_public():
    listed = re.search(r"Public are (.+?), and what CONTRIBUTING.md builds on", README, re.S)
    public = set(re.findall(r"`(rlzoo[a-z_.]*)`", listed[1]))
    assert all(importlib.import_module(module).__doc__ for module in public)
    looks_inside = ("CONTRIBUTING.md", "write_a_layer_run_it_on_four_engines.ipynb")
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.ipynb")]
    for page in (page for page in pages if page.name not in looks_inside):
        imported = re.findall(r"from (rlzoo[a-z_.]*) import", page.read_text(encoding="utf-8"))
        assert set(imported) <= public, page.name


def test_a_recurrent_agent_acts_as_the_readme_says(monkeypatch):
    monkeypatch.setenv("RLZOO_BACKEND", "numpy")
    found = run("agent.memory()", {"PPO": rlzoo.PPO, "observation": np.zeros(4, np.float32)})
    assert found["action"] in (0, 1) and found["memory"].first == [0.0]


def test_the_environment_of_ones_own(tmp_path, monkeypatch):
    """By its name on the command line, where SAC takes its bounds too, and as an object within a time limit."""
    require("jax")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    Path("mymodule.py").write_text(block("class MyEnv"), encoding="utf-8")
    (command,) = re.findall(r"`(rlzoo train --algo ppo --env mymodule\S+)`", README)
    words = ["--backend", "jax", "--steps", "256", "--set", "n_steps=128", "--quiet", "--out", "run"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split()[1:], *words])
    assert ended.value.code == 0
    agent = rlzoo.load("run", env="mymodule:MyEnv-v0", backend="numpy")
    assert agent.steps == 256 and agent.evaluate(2).lengths == (100, 100)

    env = sys.modules.pop("mymodule").MyEnv()
    before, _ = env.reset(seed=0)
    after, reward, terminated, truncated, _ = env.step(np.ones(1, np.float32))
    np.testing.assert_allclose(after, before + 0.1, rtol=1e-6)
    assert (reward, terminated, truncated) == (pytest.approx(-abs(after[0])), False, False)
    limited = gym.wrappers.TimeLimit(env, 100)
    assert rlzoo.SAC(limited, backend="numpy").evaluate(1).lengths == (100,)


def test_what_stands_for_words_of_stable_baselines_is_there():
    rows = [line.strip("| ").split(" | ") for line in section("Coming from Stable-Baselines3").splitlines()[2:]]
    named = {name for row in rows if len(row) == 2 for name in re.findall(r"(\w+)(?==)|`(\w+_coefficient)`", row[1])}
    named = {one or other for one, other in named} - {"progress", "repeat_action_probability"}
    fields = {name for kind in ("ppo", "sac", "dqn", "td3") for name in find(kind).Config.model_fields}
    assert len(named) >= 12 and named <= fields


def test_the_defaults_of_stable_baselines_are_taken():
    """Those that are said to be others there, each by the algorithm that it is said of."""
    told = section("Coming from Stable-Baselines3").partition("Defaults that are others there: ")[2].replace("\n", " ")
    of = {"QR-DQN": "qrdqn", "TD3 and DDPG": "td3", "RecurrentPPO": "ppo"}
    parts = [part for part in told.split("; ") if part.partition(" ha")[0] in of]
    assert len(parts) == 3
    for part in parts:
        kind = find(of[part.partition(" ha")[0]])
        given = eval(f"dict({', '.join(re.findall('`([^`]*=[^`]*)`', part))})")
        config = kind.Config(**given)
        assert all(getattr(config, name) != getattr(kind.Config(), name) for name in given if name != "sequence_length")
