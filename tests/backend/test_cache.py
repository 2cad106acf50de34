"""Compilations kept between runs."""

import os
import subprocess
import sys

import numpy as np
from engines import require

from rlzoo.backend import cache

TRAIN = """
import sys
import numpy as np
from rlzoo import PPO

agent = PPO("CartPole-v1", backend="jax", n_envs=2, n_steps=8, batch_size=8, hidden=(8,), n_epochs=1).learn(32)
np.save(sys.argv[1], agent.flat)
"""


def train(tmp_path, name, **variables):
    """The parameters that a process of its own ends with."""
    path = tmp_path / name
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")} | variables
    subprocess.run([sys.executable, "-c", TRAIN, path], env=environment, check=True, timeout=120)
    return np.load(f"{path}.npy")


def test_the_second_start_compiles_nothing_and_learns_the_same(tmp_path):
    require("jax")
    kept = tmp_path / "kept"
    first = train(tmp_path, "first", RLZOO_CACHE=str(kept))
    files = {file.name: file.stat().st_mtime_ns for file in (kept / "jax").glob("*-cache")}
    assert files
    second = train(tmp_path, "second", RLZOO_CACHE=str(kept))
    assert {file.name: file.stat().st_mtime_ns for file in (kept / "jax").glob("*-cache")} == files
    without = train(tmp_path, "without", RLZOO_CACHE="off")
    assert first.tobytes() == second.tobytes() == without.tobytes()


def test_what_the_user_told_jax_stands(tmp_path):
    require("jax")
    train(tmp_path, "theirs", RLZOO_CACHE=str(tmp_path / "ours"), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))
    assert not (tmp_path / "ours").exists()


def test_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("RLZOO_CACHE", str(tmp_path / "here"))
    assert cache.folder("jax") == tmp_path / "here" / "jax"
    assert (tmp_path / "here" / "jax").is_dir()
    monkeypatch.delenv("RLZOO_CACHE")
    monkeypatch.setattr(cache.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache.folder("torch") == tmp_path / "user" / "rlzoo" / "torch"


def test_none_where_it_is_off_or_cannot_be(tmp_path, monkeypatch):
    monkeypatch.setenv("RLZOO_CACHE", "off")
    assert cache.folder("jax") is None
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RLZOO_CACHE", str(tmp_path / "file"))
    assert cache.folder("jax") is None
