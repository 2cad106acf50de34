"""The command line as people use it: its exit status, what it printed, and a folder of its own to write in."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import TINY

from rlzoo.cli import main


@dataclass
class Outcome:
    """What a command did."""

    status: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


@pytest.fixture
def rlzoo(tmp_path, monkeypatch, capsys):
    """`rlzoo(*words)` runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLZOO_BACKEND", raising=False)

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(stop.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run of PPO that has finished its 2,048 steps, made once."""
    folder = tmp_path_factory.mktemp("finished")
    often = "checkpoint_every=204"
    words = ["train", "--algo", "ppo", *TINY, often, "--steps", "2048", "--seed", "3", "--quiet", "--out", "run"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as stop:
        patch.chdir(folder)
        main(words)
    assert stop.value.code == 0
    return folder / "run"


@pytest.fixture
def trained(rlzoo, finished, tmp_path):
    """A copy of that run in the folder the test is in, to spoil."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def permissions():
    """Permissions count in this test for root too, whom Linux's capabilities 1 and 2 set above them."""
    if os.geteuid() != 0:
        yield
        return
    libc, header = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0)
    held, fewer = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    fewer[:] = [held[0] & ~0b110, *held[1:]]
    assert libc.capset(header, fewer) == 0
    yield
    assert libc.capset(header, held) == 0
