"""Which engine an agent gets, and what `eager` leaves out."""

from __future__ import annotations

import subprocess
import sys

import pytest
from engines import require

from rlzoo import PPO, UserError
from rlzoo.backend import ENGINES, choose, is_installed

SMALL = dict(n_steps=8, batch_size=8, n_epochs=1, hidden=(4,))


def test_the_environment_variable_says_which_engine_unless_the_call_does(monkeypatch):
    require("torch")
    monkeypatch.setenv("RLZOO_BACKEND", "torch")
    assert PPO("CartPole-v1").engine.name == choose() == "torch"
    assert PPO("CartPole-v1", backend="numpy").engine.name == choose("numpy") == "numpy"
    monkeypatch.setenv("RLZOO_BACKEND", "numpy")
    assert PPO("CartPole-v1").engine.name == "numpy"
    monkeypatch.setenv("RLZOO_BACKEND", "jaxx")
    with pytest.raises(UserError, match="unknown backend 'jaxx' — did you mean 'jax'"):
        PPO("CartPole-v1")


def test_auto_is_the_first_that_is_installed(monkeypatch):
    monkeypatch.delenv("RLZOO_BACKEND", raising=False)
    assert choose() == choose("auto") == next(name for name in ENGINES if is_installed(name))
    monkeypatch.setattr("rlzoo.backend.find_spec", lambda name: "found" if name == "tensorflow" else None)
    assert choose() == "tensorflow"
    monkeypatch.setattr("rlzoo.backend.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"no engine .*: .*pip install.*; to act alone, backend numpy needs none$"):
        choose()


def test_a_notebook_is_shown_no_traceback_of_mindspore_where_numpy_is_new():
    require("mindspore")
    lines = "import sys", "told = []", "sys.excepthook = hook = lambda *error: told.append(error)"  # a notebook has one
    lines += "from rlzoo.backend import Engine", "Engine('mindspore').module", "print(told, sys.excepthook is hook)"
    found = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=300)
    assert found.stdout == "[] True\n", found.stdout + found.stderr


def test_an_eager_agent_learns_and_compiles_nothing(monkeypatch):
    module, compiled = require("torch"), []
    compile = module.compile
    monkeypatch.setattr(module, "compile", lambda *arguments: compiled.append(arguments) or compile(*arguments))
    agents = [PPO("CartPole-v1", backend="torch", eager=eager, **SMALL) for eager in (True, False)]
    before = agents[0].flat.copy()
    for agent, count in zip(agents, (0, 1), strict=True):
        agent.learn(8 * agent.config.n_envs)
        assert len(compiled) == count
    assert abs(agents[0].flat - before).max() > 1e-5
    assert abs(agents[0].flat - agents[1].flat).max() < 1e-5
