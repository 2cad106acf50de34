"""Training that ends before its time: what ended it in one line, and in another how to go on."""

from __future__ import annotations

import csv
import errno
import os
import sys
import threading

import pytest
from command_line import TINY
from gymnasium.envs.classic_control import CartPoleEnv
from tensorboard.summary.writer.record_writer import RecordWriter

from rlzoo import load
from rlzoo.training.loggers import CSVLogger

TRAIN = ["train", "--algo", "ppo", *TINY, "checkpoint_every=128", "--steps", 512, "--quiet", "--out", "run"]
GO_ON = "run/checkpoints/step_000000000256 has step 256; go on with: rlzoo train --resume run"


@pytest.fixture(params=["metrics.csv", "tensorboard"])
def full_disk(request, monkeypatch):
    """After the row at 256 steps there is no more room for the one or the other."""

    def write(logger, record, whole=CSVLogger.write):
        seen.append(record["steps"])
        if request.param == "metrics.csv" and record["steps"] > 256:
            logger.file.close()
            logger.file = open("/dev/full", "w")  # noqa: SIM115
            logger.writer = csv.DictWriter(logger.file, logger.columns, extrasaction="ignore", restval="")
        whole(logger, record)

    def write_event(writer, data, whole=RecordWriter.write):  # in a thread of the writer's
        if request.param == "tensorboard" and seen and seen[-1] > 256:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(writer, data)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(CSVLogger, "write", write)
        patch.setattr(RecordWriter, "write", write_event)
        yield patch


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has a disk that is always full")
def test_a_full_disk_is_one_line_and_how_to_go_on(rlzoo, full_disk):
    hook = threading.excepthook
    outcome = rlzoo(*TRAIN)
    error, note = outcome.err.splitlines()
    assert outcome.status == 2 and error.startswith("error: cannot write run (No space left on device)")
    assert error.endswith("have room") and note.startswith("stopped at step ") and note.endswith(GO_ON)
    assert threading.excepthook is hook
    full_disk.undo()
    assert rlzoo("train", "--resume", "run", "--quiet").status == 0
    assert load("run").steps == 512


def test_a_full_disk_at_once_leaves_no_folder(rlzoo, tmp_path, monkeypatch):
    def full(path, value):
        path.with_name("half").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # which names no file

    monkeypatch.setattr("rlzoo.training.run._write_json", full)
    outcome = rlzoo(*TRAIN)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == "error: cannot make a run's folder at run (No space left on device): choose another --out\n"
    assert not (tmp_path / "run").exists()


def test_a_crash_of_the_environment_keeps_its_traceback_and_says_how_to_go_on(rlzoo, monkeypatch):
    def crashes(env, action, whole=CartPoleEnv.step):
        steps.append(action)
        if len(steps) > 300:
            raise RuntimeError("the simulator has gone")
        return whole(env, action)

    steps = []
    monkeypatch.setattr(CartPoleEnv, "step", crashes)
    with pytest.raises(RuntimeError, match="the simulator has gone") as crash:
        rlzoo(*TRAIN, "--n-envs", 4)
    (note,) = crash.value.__notes__
    assert note.startswith("stopped at step ") and note.endswith(GO_ON)


@pytest.mark.parametrize("size", ["n_steps=100000000000000", "hidden=8,10000000000000000"])
def test_what_does_not_fit_memory_is_one_line(rlzoo, tmp_path, size):
    words = TINY[:4] if size.startswith("hidden") else [*TINY[:4], "--set", "batch_size=8"]
    outcome = rlzoo("train", "--algo", "ppo", *words, "--set", size, "--quiet")
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("error: not enough memory (Unable to allocate ")
    assert outcome.err.endswith("smaller, such as hidden, n_envs, n_steps or buffer_size (`rlzoo show`)\n")
    assert not list(tmp_path.glob("runs/*/*/*"))


@pytest.mark.parametrize("size", ["hidden=1e30", "n_steps=1e30", "frame_stack=1e30"])
def test_what_no_machine_could_hold_is_one_line(rlzoo, tmp_path, size):
    words = TINY[:4] if size.startswith("hidden") else [*TINY[:4], "--set", "batch_size=8"]
    outcome = rlzoo("train", "--algo", "ppo", *words, "--set", size.replace("1e30", "1" + "0" * 30), "--quiet")
    assert outcome.status == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("error: not enough memory (")
    assert not list(tmp_path.glob("runs/*/*/*"))
