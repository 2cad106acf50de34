"""`make train` is `rlzoo train` in an environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from command_line import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*words):
    """Make, without what the make that may have started these tests was told."""
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "ARGS")}
    return subprocess.run(["make", *words], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--algo 'ppo' --env 'CartPole-v1' --backend jax --seed 0"),
        (
            ["ALGO=sac", "ENV=Pendulum-v1", "BACKEND=torch", "SEED=3"],
            "--algo 'sac' --env 'Pendulum-v1' --backend torch --seed 3",
        ),
        (["STEPS=500", "ARGS=--eager"], "--algo 'ppo' --env 'CartPole-v1' --backend jax --seed 0 --steps 500 --eager"),
    ],
)
def test_make_train(words, expected):
    commands = [line for line in make("-n", "train", *words).stdout.splitlines() if "rlzoo train" in line]
    assert [" ".join(line.split()) for line in commands] == [f".venv/bin/rlzoo train {expected}"]


def test_make_train_on_an_unknown_engine():
    found = make("-n", "train", "BACKEND=jacks")
    assert found.returncode == 2 and "jacks" in found.stderr and "jax torch tensorflow mindspore" in found.stderr
