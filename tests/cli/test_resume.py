"""Going on with a run: after it was finished, stopped with Ctrl-C, or killed."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import time

import numpy as np
import pytest
from command_line import TINY, contents, python
from engines import require
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from rlzoo import load

LONG = [*TINY, "checkpoint_every=1024", "--seed", "7", "--backend", "jax"]


def steps_logged(folder):
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as file:
        return [int(row["steps"]) for row in csv.DictReader(file)]


def stopped_in_the_middle(folder, total, how):
    """A run that a signal ended after its second checkpoint; its status and what it said."""
    words = ["--algo", "ppo", *LONG, "--steps", total, "--out", folder.name]
    process = python("-m", "rlzoo", "train", *words, cwd=folder.parent)
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoints/step_*[1-9]*/manifest.json")):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.005)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["killed", "Ctrl-C", "ended"])
def test_a_stopped_run_ends_as_the_uninterrupted_one(rlzoo, tmp_path, how):
    total = 24_576
    status, _, err = stopped_in_the_middle(tmp_path / "stopped", total, how)
    stopped_at = load("stopped").steps
    assert 0 < stopped_at < total
    if how != signal.SIGKILL:
        assert status == 130 and err.count("\n") == 1 and err.startswith("stopped at step ")
        assert f"has step {stopped_at:,}" in err and "rlzoo train --resume stopped" in err
    resumed = rlzoo("train", "--resume", "stopped", "--quiet")
    assert (resumed.status, resumed.out) == (0, "stopped\n"), resumed.err
    assert rlzoo("train", "--algo", "ppo", *LONG, "--steps", total, "--out", "whole", "--quiet").status == 0
    np.testing.assert_array_equal(load("stopped").flat, load("whole").flat)
    assert steps_logged(tmp_path / "stopped") == steps_logged(tmp_path / "whole")
    assert json.loads((tmp_path / "stopped/run.json").read_text())["resumed"][0]["from_step"] == stopped_at


def stop(*arguments):
    raise KeyboardInterrupt


def test_ctrl_c_while_jax_compiles_is_no_crash(tmp_path, monkeypatch):
    require("jax")
    monkeypatch.setenv("RLZOO_CACHE", "off")
    words = ["--algo", "ppo", "--env", "CartPole-v1", "--backend", "jax", "--out", "stopped"]
    process = python("-m", "rlzoo", "train", *words, cwd=tmp_path)
    assert "jax" in process.stdout.readline() and process.stdout.readline().startswith("run:")
    while not (tmp_path / "stopped/checkpoints/step_000000000000/manifest.json").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err.startswith("stopped at step "), err


def test_stopped_before_its_first_checkpoint_a_run_leaves_nothing(rlzoo, tmp_path, monkeypatch):
    monkeypatch.setattr("rlzoo.training.run.Run.on_start", stop)
    outcome = rlzoo("train", "--algo", "ppo", *LONG, "--out", "early")
    assert (outcome.status, outcome.err) == (130, "stopped before the first step: nothing was kept\n")
    assert not (tmp_path / "early").exists()


def test_a_run_goes_on_being_evaluated_as_it_was(rlzoo, tmp_path):
    words = ["--algo", "ppo", *LONG, "--steps", 2048, "--quiet", "--out", "run"]
    assert rlzoo("train", *words, "--eval-every", 512, "--stop-at", 600).status == 0
    assert rlzoo("train", "--resume", "run", "--steps", 2048, "--quiet").status == 0
    assert rlzoo("train", "--resume", "run", "--steps", 2048, "--stop-at", 1, "--quiet").status == 0
    with open(tmp_path / "run/metrics.csv", encoding="utf-8", newline="") as file:
        evaluated = [int(row["steps"]) for row in csv.DictReader(file) if row["evaluation_return"]]
    assert evaluated == [*range(512, 4097, 512), 4608], "to the first that reaches 1"
    made, *resumed = json.loads((tmp_path / "run/run.json").read_text())["resumed"]
    assert made["options"] == {"eval_every": 512, "stop_at": 600.0}
    assert resumed[0]["options"] == {"eval_every": 512, "stop_at": 1.0}


def test_a_finished_run_says_how_to_go_on(rlzoo, trained):
    before = contents(trained)
    outcome = rlzoo("train", "--resume", "run")
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert "finished (2,048 steps)" in outcome.err and "rlzoo train --resume run --steps 2048" in outcome.err
    assert contents(trained) == before


def test_more_steps_are_appended(rlzoo, trained):
    before = (trained / "metrics.csv").read_bytes()
    outcome = rlzoo("train", "--resume", "run", "--steps", 1024)
    assert outcome.status == 0, outcome.err
    assert "steps 2,048 to 3,072" in outcome.out
    assert (trained / "metrics.csv").read_bytes().startswith(before)
    steps = steps_logged(trained)
    assert steps == sorted({*steps}) and {2048, 3072} <= {*steps}
    assert load(trained).steps == 3072


@pytest.mark.parametrize("at", [1792, 2048], ids=["before its end", "finished"])
def test_more_steps_are_still_to_come_after_a_stop(rlzoo, trained, at, monkeypatch):
    if at == 1792:
        shutil.rmtree(trained / "checkpoints/step_000000002048")
    shutil.copytree(trained, trained.with_name("whole"))
    with monkeypatch.context() as patch:
        patch.setattr("rlzoo.training.run.Run.on_log", stop)  # before its first checkpoint
        outcome = rlzoo("train", "--resume", "run", "--steps", 1024, "--quiet")
    assert outcome.status == 130 and f"has step {at:,}; go on with: rlzoo train --resume run\n" in outcome.err
    assert rlzoo("train", "--resume", "run", "--quiet").status == 0
    assert rlzoo("train", "--resume", "whole", "--steps", 1024, "--quiet").status == 0
    assert load(trained).steps == at + 1024
    np.testing.assert_array_equal(load(trained).flat, load("whole").flat)


def test_the_time_spent_is_counted_on(rlzoo, trained):
    def seconds():
        with open(trained / "metrics.csv", encoding="utf-8", newline="") as file:
            return {int(row["steps"]): float(row["seconds"]) for row in csv.DictReader(file)}

    path = trained / "metrics.csv"
    before, spent = path.read_text(), seconds()[2048]
    path.write_text(before.replace(f"\n2048,{spent:.7g},", "\n2048,5000.0,"))
    assert rlzoo("train", "--resume", "run", "--steps", 1024, "--quiet").status == 0
    assert 5000.0 == seconds()[2048] < seconds()[3072] < 5100.0
    path.write_text("\n".join(path.read_text().splitlines()[:1]) + "\n")
    assert rlzoo("train", "--resume", "run", "--steps", 1024, "--quiet").status == 0
    assert 0.0 < seconds()[4096] < 100.0, "where no row is left, the time begins anew"


def test_rows_after_the_checkpoint_are_written_once(rlzoo, trained):
    before = steps_logged(trained)
    shutil.rmtree(trained / "checkpoints/step_000000002048")
    with open(trained / "metrics.csv", "a") as file:
        file.write("3072,1.0,half a li")
    assert rlzoo("train", "--resume", "run", "--quiet").status == 0
    assert steps_logged(trained) == before
    events = EventAccumulator(str(trained / "tensorboard")).Reload()
    assert [event.step for event in events.Tensors("entropy")] == before, "TensorBoard shows them once"


def test_a_run_goes_on_with_its_engine_unless_another_is_named(rlzoo, trained, monkeypatch):
    monkeypatch.setenv("RLZOO_BACKEND", "jax")
    assert " · torch " in rlzoo("train", "--resume", "run", "--steps", 256).out
    assert " · jax " in rlzoo("train", "--resume", "run", "--steps", 256, "--backend", "jax").out
    assert load(trained).steps == 2048 + 512


def test_a_run_goes_on_with_no_engine_that_only_acts(rlzoo, trained):
    outcome = rlzoo("train", "--resume", "run", "--steps", 256, "--backend", "numpy")
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert "'numpy' acts but does not learn: use --backend jax, torch" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        ["--algo", "sac"], ["--env", "Acrobot-v1"], ["--seed", 4], ["--set", "gamma=0.5"], ["--n-envs", 8],
        ["--out", "elsewhere"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_what_contradicts_the_run_is_refused(rlzoo, trained, words):
    before = contents(trained.parent)
    outcome = rlzoo("train", "--resume", "run", "--steps", 128, *words)
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"error: {words[0]} ") and "leave it out" in outcome.err
    assert contents(trained.parent) == before


def test_what_the_run_has_may_be_repeated(rlzoo, trained):
    words = ["--algo", "PPO", "--env", "CartPole-v1", "--seed", 3]
    assert rlzoo("train", "--resume", "run", "--steps", 128, "--quiet", *words).status == 0


def test_arguments_of_the_environment_stay_with_the_run(rlzoo):
    """Numbers go on by themselves; a text, which might be a path, is asked for again."""
    begin = ["train", "--algo", "dqn", "--backend", "jax", "--steps", 200, "--quiet"]
    plain = "FrozenLake-v1,is_slippery=false"
    assert rlzoo(*begin, "--env", plain, "--out", "plain").status == 0
    assert rlzoo("evaluate", "plain", "--episodes", 2, "--json").json()["environment"] == plain
    assert rlzoo("train", "--resume", "plain", "--steps", 100, "--quiet").status == 0
    assert rlzoo(*begin, "--env", "FrozenLake-v1,map_name=8x8", "--out", "named").status == 0
    refused = rlzoo("evaluate", "named")
    assert refused.status == 2 and "--env FrozenLake-v1,map_name=8x8, if you trust it" in refused.err
    assert rlzoo("evaluate", "named", "--env", "FrozenLake-v1,map_name=8x8", "--episodes", 1).status == 0
