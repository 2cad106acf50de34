"""What a command was asked for, where it cannot be printed: nobody reads any more, or the disk is full."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from command_line import ROOT

RUN = [
    ["list", "envs"], ["show", "ppo", "CartPole-v1"], ["--version"],
    ["evaluate", "run", "--episodes", "1", "--backend", "numpy"],
    ["evaluate", "run", "--episodes", "1", "--backend", "numpy", "--json"],
]  # fmt: skip
PLAY = ["play", "run", "--episodes", "2", "--backend", "numpy", "--gif", "a.gif"]


def shell(folder, words, to):
    """The command in a shell, with Python printing at once, as in containers (PYTHONUNBUFFERED)."""
    command = f"{shlex.join([sys.executable, '-u', '-m', 'rlzoo', *words])} {to}"
    run = f"set -o pipefail; PYTHONPATH={shlex.quote(str(ROOT))} {command}"
    return subprocess.run(["bash", "-c", run], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_who_reads_no_further_has_had_enough(trained, words):
    done = shell(trained.parent, words, "| true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has a disk that is always full")
@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_what_cannot_be_printed_is_one_line(trained, words):
    done = shell(trained.parent, words, "> /dev/full")
    assert (done.returncode, done.stderr) == (2, "error: cannot print (No space left on device)\n")


@pytest.mark.parametrize("to", ["| true", "> /dev/full"])
def test_an_animation_is_written_where_nothing_can_be_printed(trained, to):
    done = shell(trained.parent, PLAY, to)
    assert (done.returncode, done.stderr) == (0, "")
    assert (trained.parent / "a.gif").read_bytes().startswith(b"GIF8")
