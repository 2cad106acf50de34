"""A run is trained by one process at a time, and read by as many as like."""

from __future__ import annotations

import os

import pytest
from command_line import contents, python

from rlzoo import UserError, load
from rlzoo.training import lock
from rlzoo.training.run import Run

HOLDER = "import os, time; from pathlib import Path; from rlzoo.training.lock import claim\nfile = claim(Path('run'))\n"
SAYS_SO = "print('claimed', flush=True); time.sleep(60)"
FORKS = "if not os.fork(): os.close(1); os.close(2); time.sleep(30); os._exit(0)\n"


def test_a_run_that_another_process_trains_is_not_resumed(rlzoo, trained):
    holder = python("-c", HOLDER + FORKS + SAYS_SO, cwd=trained.parent)
    assert holder.stdout.readline() == "claimed\n", holder.communicate()
    before = contents(trained)
    refused = rlzoo("train", "--resume", "run", "--steps", 128)
    assert (refused.status, refused.out) == (2, "") and refused.err.count("\n") == 1
    assert f"run is being trained by another process (PID {holder.pid})" in refused.err
    assert contents(trained) == before
    assert rlzoo("evaluate", "run", "--episodes", 1).status == 0
    holder.kill()  # its worker process lives on
    holder.communicate()
    assert rlzoo("train", "--resume", "run", "--steps", 128, "--quiet").status == 0
    assert load(trained).steps == 2304


def test_a_new_run_is_claimed_while_it_is_trained(rlzoo, tmp_path, monkeypatch):
    refused = []

    def resumed_meanwhile(run, agent):
        with pytest.raises(UserError, match=f"another process .PID {os.getpid()}.") as caught, Run.open(run.folder):
            pass
        refused.append(caught.value)
        raise KeyboardInterrupt

    monkeypatch.setattr("rlzoo.training.run.Run.on_start", resumed_meanwhile)
    assert rlzoo("train", "--algo", "ppo", "--env", "CartPole-v1", "--backend", "torch", "--out", "run").status == 130
    assert len(refused) == 1


def test_a_lock_is_no_link_to_a_file_elsewhere(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "run" / lock.NAME).symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match="cannot write"):
        lock.claim(tmp_path / "run")
    assert (tmp_path / "mine").read_text() == "precious"
