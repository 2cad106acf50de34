"""`rlzoo train`: what it prints, and what is in the run's folder."""

from __future__ import annotations

import csv
import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from command_line import ROOT, TINY, python
from counting import Counting
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from rlzoo import load
from rlzoo.training.evaluate import CHOOSING, seed_of_evaluation


def metrics(folder):
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_says_what_made_it(trained):
    run = json.loads((trained / "run.json").read_text())
    assert run["command"][:4] == ["rlzoo", "train", "--algo", "ppo"] and run["command"][-2:] == ["--out", "run"]
    made = {name: run[name] for name in ("algorithm", "environment", "environment_is_id", "seed", "backend", "device")}
    assert made == {
        "algorithm": "ppo", "environment": "CartPole-v1", "environment_is_id": True, "seed": 3, "backend": "torch",
        "device": "cpu",
    }  # fmt: skip
    assert run["versions"]["gymnasium"] == gymnasium.__version__ and run["versions"]["numpy"] == np.__version__
    assert run["versions"]["torch"] not in ("", "unknown")


def test_a_run_holds_its_resolved_hyperparameters(trained):
    config = json.loads((trained / "config.json").read_text())
    published = "environment CartPole-v1 (RL Baselines3 Zoo, but n_envs and gae_lambda: tuned here on seeds 0 to 47)"
    assert config["n_steps"] == {"value": 16, "from": "given"}
    assert config["steps"] == {"value": 2048, "from": "given"}
    assert config["gamma"] == {"value": 0.98, "from": published}
    assert config["value_coefficient"] == {"value": 0.5, "from": "default of ppo"}


def test_a_run_holds_its_metrics_and_tensorboard_the_same(trained):
    rows = metrics(trained)
    steps = [int(row["steps"]) for row in rows]
    assert steps[-1] == 2048 and steps == sorted({*steps}) and all(step % 128 == 0 for step in steps)
    assert all(float(row["episode_return"]) >= 8.0 and float(row["time_env"]) > 0.0 for row in rows)
    assert float(rows[-1]["entropy"]) == pytest.approx(np.log(2), abs=0.05)
    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    for name in ("episode_return", "entropy", "policy_loss"):
        read = [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(name)]
        assert read == [(int(row["steps"]), pytest.approx(float(row[name]), rel=1e-5)) for row in rows]


def test_a_run_keeps_its_latest_two_checkpoints_and_they_load(trained):
    names = sorted(path.name for path in (trained / "checkpoints").iterdir())
    assert names == ["step_000000001792", "step_000000002048"]
    agent, earlier = load(trained), load(trained / "checkpoints" / names[0])
    assert (agent.steps, earlier.steps, agent.seed) == (2048, 1792, 3)
    assert not np.array_equal(agent.flat, earlier.flat)


def test_what_is_printed(rlzoo):
    outcome = rlzoo("train", "--algo", "ppo", *TINY, "--steps", 512, "--seed", 5, "--n-envs", 4, "--eval-every", 256)
    assert outcome.status == 0, outcome.err
    first, where, progress, result, *last = outcome.out.splitlines()
    folder = "runs/ppo/CartPole-v1/seed_5_1"
    parts = first.split(" · ")
    assert parts[0] == "ppo on CartPole-v1" and parts[1].startswith("torch ") and parts[1].endswith(" on cpu")
    assert parts[2:] == ["seed 5", "512 steps", "4 environments, sync"]
    assert where == f"run: {folder}"
    assert progress.startswith("512/512 steps · ") and " steps/s · return " in progress and " env " in progress
    evaluated = float(metrics(Path(folder))[-1]["evaluation_return"])
    assert f" · evaluation {evaluated:.1f} · done in " in progress
    assert progress.endswith(" · 1 thread")  # what torch takes for networks this small
    assert result.startswith("mean return ") and result.endswith(" over 20 episodes")
    assert last == [
        f"run:     {folder}",
        f"curves:  tensorboard --logdir {folder}",
        f"again:   rlzoo evaluate {folder}",
    ]
    assert rlzoo("evaluate", folder).out.startswith(result)


def test_a_warning_is_a_line(rlzoo, monkeypatch):
    monkeypatch.setattr("rlzoo.training.acting.LONGEST", 30)
    gymnasium.register("rlzoo-tests/Endless-v0", Counting, kwargs={"length": 10**6})
    words = ["--env", "rlzoo-tests/Endless-v0", *TINY[2:], "--n-envs", 2, "--steps", 64, "--out", "run"]
    outcome = rlzoo("train", "--algo", "ppo", *words)
    gymnasium.registry.pop("rlzoo-tests/Endless-v0")
    assert (outcome.status, outcome.err.count("\n")) == (0, 1)
    assert outcome.err.startswith("warning: 10 of 20 episodes were cut off at 30 steps: in Python, ")


def test_training_goes_on_when_nobody_reads_what_it_prints(tmp_path):
    process = python("-m", "rlzoo", "train", "--algo", "ppo", *TINY, "--steps", 512, "--out", "run", cwd=tmp_path)
    assert process.stdout.readline().startswith("ppo on ")
    process.stdout.close()  # as `| head -1` does
    assert (process.wait(timeout=60), process.stderr.read()) == (0, "")
    assert load(tmp_path / "run").steps == 512


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has a disk that is always full")
@pytest.mark.parametrize("to", [">&-", "> /dev/full"])
def test_training_goes_on_where_it_cannot_print(tmp_path, to):
    words = ["-m", "rlzoo", "train", "--algo", "ppo", *TINY, "--steps", "512", "--out", "run"]
    command = f"{shlex.join([sys.executable, *words])} {to}"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert load(tmp_path / "run").steps == 512
    assert metrics(tmp_path / "run")[-1]["steps"] == "512"


def test_training_goes_on_when_its_terminal_is_closed(tmp_path):
    terminal, screen = pty.openpty()
    words = ["-m", "rlzoo", "train", "--algo", "ppo", *TINY, "--steps", "16384", "--out", "run"]
    process = subprocess.Popen(
        [sys.executable, *words], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=screen,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(screen)
    while b"16,384" not in os.read(terminal, 10_000):
        pass
    os.close(terminal)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert load(tmp_path / "run").steps == 16_384


def test_runs_do_not_share_folders(rlzoo, tmp_path):
    names = [rlzoo("train", "--algo", "ppo", *TINY, "--steps", 128, "--quiet").out.strip() for _ in range(2)]
    assert names == [f"runs/ppo/CartPole-v1/seed_0_{number}" for number in (1, 2)]
    assert all((tmp_path / name / "run.json").is_file() for name in names)


def test_evaluations_are_logged(rlzoo, tmp_path):
    rlzoo("train", "--algo", "ppo", *TINY, "--steps", 512, "--eval-every", 256, "--quiet", "--out", "run")
    evaluated = [row for row in metrics(tmp_path / "run") if row["evaluation_return"]]
    assert [row["steps"] for row in evaluated] == ["256", "512"]
    returns = [float(row["evaluation_return"]) for row in evaluated]
    assert all(value >= 8.0 for value in returns)
    best = load(tmp_path / "run" / "best")
    assert best.steps == (256 if returns[0] >= returns[1] else 512)
    again = best.evaluate(20, seed=seed_of_evaluation(best.seed, CHOOSING))
    np.testing.assert_allclose(again.mean_return, max(returns), rtol=1e-6)


def test_eager_and_compiled_runs_agree(rlzoo, monkeypatch):
    def never(*arguments):
        raise AssertionError("an eager run compiles nothing")

    for out, option, said in (("compiled", [], False), ("eager", ["--eager"], True)):
        with monkeypatch.context() as patch:
            if option:
                patch.setattr("rlzoo.backend.torch.compile", never)
            outcome = rlzoo("train", "--algo", "ppo", *TINY, "--steps", 128, "--out", out, *option)
        assert outcome.status == 0, outcome.err
        assert (" on cpu, eager · seed 0" in outcome.out) is said and " on cpu" in outcome.out
    np.testing.assert_allclose(load("eager").flat, load("compiled").flat, atol=1e-5)


def test_a_flag_set_to_false_is_false(rlzoo, tmp_path):
    for value, expected in (("False", False), ("True", True)):
        words = [*TINY, f"normalize_observation={value}", "--steps", 128, "--quiet", "--out", value]
        assert rlzoo("train", "--algo", "ppo", *words).status == 0
        assert json.loads((tmp_path / value / "config.json").read_text())["normalize_observation"]["value"] is expected
        assert ("observation" in load(tmp_path / value).normalizers) is expected


def test_an_environment_of_ones_own_in_the_folder_one_is_in(rlzoo, tmp_path, monkeypatch):
    (tmp_path / "own_envs.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Own-v0', 'gymnasium.envs.classic_control.cartpole:CartPoleEnv', max_episode_steps=9)\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    words = ["--env", "own_envs:Own-v0", *TINY[2:], "--steps", 256, "--quiet", "--out", "run"]
    assert rlzoo("train", "--algo", "ppo", *words).status == 0
    for command in (["evaluate", "run"], ["train", "--resume", "run", "--steps", 128], ["play", "run"]):
        refused = rlzoo(*command)
        assert refused.status == 2 and "--env own_envs:Own-v0" in refused.err and refused.err.count("\n") == 1
    vouched = rlzoo("evaluate", "run", "--env", "own_envs:Own-v0", "--json")
    assert vouched.json()["returns"] == [9.0] * 20
    assert rlzoo("train", "--resume", "run", "--env", "own_envs:Own-v0", "--steps", 128, "--quiet").status == 0
    assert load("run").steps == 384


def test_a_run_on_one_engine_imports_no_other(tmp_path):
    code = (
        "import sys\nfrom rlzoo.cli import main\n"
        f"try: main(['train', '--algo', 'ppo', *{[*TINY, '--backend', 'jax']!r}, '--steps', '128', '--quiet'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print(*{'jax', 'torch', 'tensorflow', 'mindspore', 'keras', 'tensorboard'} & {*sys.modules})"
    )
    out, err = python("-c", code, cwd=tmp_path).communicate()
    assert set(out.splitlines()[-1].split()) == {"jax", "tensorboard"}, err


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(rlzoo, tmp_path):
    words = [*TINY, "learning_rate=1e30", "checkpoint_every=128", "--steps", 512, "--quiet", "--out", "run"]
    outcome = rlzoo("train", "--algo", "ppo", *words)
    assert outcome.status == 2 and "ppo diverged by " in outcome.err and "lower learning_rate" in outcome.err
    assert np.isfinite(load(tmp_path / "run").flat).all()


def test_it_stops_at_the_return_asked_for(rlzoo, tmp_path):
    stop = ("--eval-every", 256, "--stop-at", 8)  # what an episode lasts at least
    rlzoo("train", "--algo", "ppo", *TINY, "--steps", 2048, *stop, "--quiet", "--out", "run")
    assert [row["steps"] for row in metrics(tmp_path / "run") if row["evaluation_return"]] == ["256"]
    assert load(tmp_path / "run").steps == 256
    outcome = rlzoo("train", "--algo", "ppo", *TINY, "--steps", 2048, *stop, "--out", "told")
    reached = float(metrics(tmp_path / "told")[-1]["evaluation_return"])
    assert f"\nstopped at step 256: evaluation return {reached:.1f} reached 8.0\nmean return " in outcome.out
    unreached = rlzoo("train", "--algo", "ppo", *TINY, "--steps", 256, *stop[:-1], 501, "--out", "unreached")
    assert unreached.status == 0 and "stopped" not in unreached.out
