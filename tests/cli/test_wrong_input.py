"""A mistake in what was asked is one line with the value, the nearest one and the mend; nothing is written."""

from __future__ import annotations

import json

import pytest
from command_line import contents

PPO = ["train", "--algo", "ppo", "--env", "CartPole-v1", "--backend", "jax"]
WRONG = {
    "algorithm": (["train", "--algo", "pop", "--env", "CartPole-v1"], ["'pop'", "'ppo'", "valid: ppo, a2c, "]),
    "algorithm to show": (["show", "sacc", "CartPole-v1"], ["'sacc'", "'sac'"]),
    "environment": (
        ["train", "--algo", "ppo", "--env", "CartPol-v1"],
        ["'CartPol-v1'", "'CartPole-v1'", "rlzoo list envs"],
    ),
    "environment's version": (["show", "ppo", "CartPole-v9"], ["'CartPole-v9'", "'CartPole-v1'"]),
    "environment like no other": (["show", "ppo", "FooBar-v0"], ["'FooBar-v0'", "doesn't exist", "rlzoo list envs"]),
    "namespace": (["show", "ppo", "Own/Game-v0"], ["'Own/Game-v0'", "Own/", "package.module:Own/Game-v0"]),
    "namespace of a module": (["show", "ppo", "json:Own/Game-v0"], ["'json:Own/Game-v0'", "'json' registers none"]),
    "module": (["train", "--algo", "ppo", "--env", "no.such:Env-v0"], ["'no.such:Env-v0'", "cannot import 'no.such'"]),
    "backend": ([*PPO[:-1], "jacks"], ["'jacks'", "'jax'", "valid: auto, jax"]),
    "backend that cannot learn": ([*PPO[:-1], "numpy"], ["'numpy'", "--backend jax"]),
    "device": ([*PPO, "--device", "gpu"], ["'gpu'", "valid: auto, cpu, cuda"]),
    "hyperparameter": ([*PPO, "--set", "learning_rat=1"], ["'learning_rat'", "'learning_rate'", "rlzoo show ppo"]),
    "type": ([*PPO, "--set", "n_steps=many"], ["n_steps = 'many'", "integer"]),
    "flag": ([*PPO, "--set", "normalize_observation=si"], ["normalize_observation = 'si'", "boolean"]),
    "range": ([*PPO, "--set", "gamma=1.5"], ["gamma = '1.5'", "less than or equal to 1"]),
    "schedule": (
        [*PPO, "--set", "learning_rate=fast"],
        ["learning_rate = 'fast'", "linear(start, end) or exponential(start, end)"],
    ),
    "schedule of nothing": ([*PPO, "--set", "learning_rate=inf"], ["'inf'", "exponential(start, end)"]),
    "batch": ([*PPO, "--set", "batch_size=999"], ["batch_size = 999", "lower batch_size"]),
    "setting": ([*PPO, "--set", "gamma", "0.9"], ["'gamma'", "NAME=VALUE"]),
    "seed as a setting": ([*PPO, "--set", "seed=3"], ["seed is not a hyperparameter", "--seed 3"]),
    "seed as a setting to show": (["show", "ppo", "CartPole-v1", "--set", "seed=3"], ["give --seed 3"]),
    "environment as a setting": ([*PPO, "--set", "env=Acrobot-v1"], ["env is not a hyper", "--env Acrobot-v1"]),
    "engine as a setting": ([*PPO, "--set", "backend=torch"], ["backend is not a hyperparameter", "--backend torch"]),
    "device as a setting": ([*PPO, "--set", "device=cpu"], ["device is not a hyperparameter", "--device cpu"]),
    "eager as a setting": ([*PPO, "--set", "eager=true"], ["eager is not a hyperparameter", "give --eager\n"]),
    "Python's word as a setting": ([*PPO, "--set", "self=3"], ["unknown hyperparameter 'self' of ppo"]),
    "setting twice": ([*PPO, "--n-envs", "4", "--set", "n_envs=5"], ["n_envs", "twice", "4", "5"]),
    "steps": ([*PPO, "--steps", "0"], ["--steps", "'0'", "at least 1"]),
    "steps' type": ([*PPO, "--steps", "1.5"], ["--steps", "'1.5'", "whole number"]),
    "seed": ([*PPO, "--seed", "-1"], ["--seed", "'-1'", "at least 0"]),
    "discrete space": (["train", "--algo", "sac", "--env", "CartPole-v1"], ["sac", "Discrete(2)", "ppo or dqn"]),
    "continuous space": (["train", "--algo", "dqn", "--env", "Pendulum-v1"], ["dqn", "Box", "sac"]),
    "stop at no number": ([*PPO, "--eval-every", "9", "--stop-at", "nan"], ["--stop-at nan", "--stop-at 475"]),
    "stop at infinity": ([*PPO, "--eval-every", "9", "--stop-at", "inf"], ["--stop-at inf", "--stop-at 475"]),
    "nothing to train": (["train"], ["--algo and --env", "rlzoo train --algo ppo --env CartPole-v1"]),
    "option": ([*PPO, "--stpes", "5"], ["--stpes", "--steps", "rlzoo train --help"]),
    "option without a value": (["train", "--resume"], ["'--resume' requires an argument", "rlzoo train --help"]),
    "option of no command": (["--env"], ["--env", "rlzoo --help"]),
    "command": (["trian"], ["'trian'", "'train'", "rlzoo --help"]),
    "list": (["list", "backend"], ["'backend'", "'backends'", "algos, envs"]),
    "no folder": (["evaluate", "nowhere"], ["nowhere", "no such folder"]),
    "no folder, of a script with Windows' ends of lines": (["evaluate", "kept\r"], ["no such folder: kept\\r\n"]),
    "no run": (["evaluate", "kept"], ["kept", "no run.json", "rlzoo train"]),
    "no run to resume": (["train", "--resume", "kept"], ["kept", "no run.json", "rlzoo train"]),
    "no run to play": (["play", "kept"], ["kept", "no run.json"]),
    "folder taken": ([*PPO, "--out", "kept"], ["kept", "not empty", "--out"]),
    "folder is a file": ([*PPO, "--out", "kept/file"], ["kept/file", "--out"]),
    "folder in a file": ([*PPO, "--out", "kept/file/run"], ["kept/file", "--out"]),
    "episodes": (["evaluate", "kept", "--episodes", "none"], ["--episodes", "'none'", "whole number"]),
}


def refused(outcome, *told):
    """Assert exit status 2, nothing on stdout, and one line on stderr that tells all this."""
    assert outcome.status == 2 and outcome.out == ""
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1, outcome.err
    assert "Traceback" not in outcome.err
    for part in told:
        assert part in outcome.err


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line_and_writes_nothing(rlzoo, tmp_path, case):
    words, told = WRONG[case]
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("mine")
    refused(rlzoo(*words), *told)
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}
    assert {path.name: data for path, data in contents(tmp_path).items()} == {"file": b"mine"}


@pytest.mark.parametrize("missing", ["torch", "jax"])
def test_a_missing_engine_comes_with_the_line_that_installs_it(rlzoo, tmp_path, monkeypatch, missing):
    monkeypatch.setattr("rlzoo.backend.is_installed", lambda name: name != missing)
    refused(rlzoo(*PPO[:-1], missing), repr(missing), f": run pip install '.[{missing}]' in a checkout of rlzoo")
    assert not list(tmp_path.iterdir())


def test_no_engine_at_all(rlzoo, tmp_path, monkeypatch):
    monkeypatch.setattr("rlzoo.backend.is_installed", lambda name: False)
    refused(rlzoo(*PPO[:-2]), "no engine is installed", "run pip install '.[jax]' in a checkout of rlzoo (or torch, ")
    refused(rlzoo("list"), "algos|envs|backends")
    assert not list(tmp_path.iterdir())


def test_a_device_the_engine_does_not_see(rlzoo, tmp_path, monkeypatch):
    monkeypatch.setattr("rlzoo.backend.jax.device", lambda name: None if name == "cuda" else "cpu")
    refused(rlzoo(*PPO, "--device", "cuda"), "'cuda'", "--device cpu")
    assert not list(tmp_path.iterdir())


def test_a_start_that_fails_leaves_no_folder(rlzoo, tmp_path, monkeypatch):
    def fail(agent):
        raise RuntimeError("no memory")

    monkeypatch.setattr("rlzoo.training.on_policy.OnPolicyAgent.phase", fail)
    with pytest.raises(RuntimeError, match="no memory"):  # not the user's mistake: it keeps its traceback
        rlzoo(*PPO, "--out", "run", "--quiet")
    assert not list(tmp_path.iterdir())


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["arrays.safetensors", "manifest.json"])
@pytest.mark.parametrize("words", [["evaluate", "run"], ["train", "--resume", "run", "--steps", 9], ["play", "run"]])
def test_a_truncated_checkpoint(rlzoo, trained, name, words):
    cut(trained / "checkpoints/step_000000002048" / name)
    before = contents(trained)
    refused(rlzoo(*words), f"step_000000002048/{name}", "damaged", "use an earlier one")
    assert contents(trained) == before
    assert rlzoo("evaluate", "run/checkpoints/step_000000001792", "--episodes", 1).status == 0


def test_values_in_a_manifest_that_make_no_sense(rlzoo, trained):
    path = trained / "checkpoints/step_000000002048/manifest.json"
    whole = json.loads(path.read_text())
    for name, value in {
        "algorithm": "pop", "format": 99, "seed": "three", "config": [], "observation_space": {"kind": "Circle"},
        "generator": {}, "steps": None, "episodes": 7, "environment": 3,
    }.items():  # fmt: skip
        path.write_text(json.dumps(whole | {name: value}))
        refused(rlzoo("evaluate", "run"), "step_000000002048")


def test_a_metrics_file_without_its_header(rlzoo, trained):
    (trained / "metrics.csv").write_text("1,2,3\n")
    refused(rlzoo("train", "--resume", "run", "--steps", 128, "--quiet"), "metrics.csv", "damaged")
    assert (trained / "metrics.csv").read_text() == "1,2,3\n"
