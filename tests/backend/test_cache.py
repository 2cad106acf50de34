"""Compilations kept between runs."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from engines import require

from rlzoo.backend import cache

TRAIN = """
import sys
import numpy as np
from rlzoo import PPO

agent = PPO("CartPole-v1", backend=sys.argv[2], n_envs=2, n_steps=8, batch_size=8, hidden=(8,), n_epochs=1).learn(32)
np.save(sys.argv[1], agent.flat)
"""


ENGINES = ("jax", "tensorflow", "mindspore")  # that keep what they compile
THEIRS = ("JAX_", "TF_XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL", "MS_COMPILER")


def train(tmp_path, name, engine, **variables):
    """The parameters that a process of its own ends with; TensorFlow's says nothing, though it would of each file."""
    path = tmp_path / name
    environment = {k: v for k, v in os.environ.items() if not k.startswith(THEIRS)} | variables
    command = [sys.executable, "-c", TRAIN, path, engine]
    done = subprocess.run(command, env=environment, check=True, timeout=120, stderr=subprocess.PIPE, text=True)
    assert engine != "tensorflow" or done.stderr == ""
    return np.load(f"{path}.npy")


def kept_in(folder):
    """The files with compilations below a folder, and when each was written."""
    files = [file for pattern in ("*-cache", "*.pb", "*.mindir") for file in folder.rglob(pattern)]
    return {file: file.stat().st_mtime_ns for file in files}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_second_start_compiles_nothing_and_learns_the_same(tmp_path, engine):
    require(engine)
    kept = tmp_path / "kept here"
    first = train(tmp_path, "first", engine, RLZOO_CACHE=str(kept))
    files = kept_in(kept / engine)
    assert files
    second = train(tmp_path, "second", engine, RLZOO_CACHE=str(kept))
    assert kept_in(kept / engine) == files
    without = train(tmp_path, "without", engine, RLZOO_CACHE="off")
    assert first.tobytes() == second.tobytes() == without.tobytes()


@pytest.mark.parametrize("engine", ["tensorflow", "mindspore"])
def test_broken_files_are_compiled_anew(tmp_path, engine):
    require(engine)
    first = train(tmp_path, "first", engine, RLZOO_CACHE=str(tmp_path / "kept"))
    for file in kept_in(tmp_path / "kept"):
        file.write_bytes(file.read_bytes()[:3000])
    second = train(tmp_path, "second", engine, RLZOO_CACHE=str(tmp_path / "kept"))
    assert all(file.stat().st_size > 3000 for file in kept_in(tmp_path / "kept"))
    assert first.tobytes() == second.tobytes()


def test_what_the_user_told_the_engine_stands(tmp_path):
    require("jax")
    train(tmp_path, "a", "jax", RLZOO_CACHE=str(tmp_path / "ours"), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))
    require("tensorflow")
    flags = f"--tf_xla_persistent_cache_directory={tmp_path}/tensorflow"
    train(tmp_path, "b", "tensorflow", RLZOO_CACHE=str(tmp_path / "ours"), TF_XLA_FLAGS=flags)
    require("mindspore")
    train(tmp_path, "c", "mindspore", RLZOO_CACHE=str(tmp_path / "ours"), MS_COMPILER_CACHE_ENABLE="0")
    assert not (tmp_path / "ours").exists()
    assert kept_in(tmp_path / "tensorflow")


TWO = """
import sys
import numpy as np
from rlzoo import DQN, PPO

agents = [PPO("CartPole-v1", backend="mindspore", n_envs=2, n_steps=8, batch_size=8, hidden=(8,), n_epochs=1),
          DQN("CartPole-v1", backend="mindspore", learning_starts=8, train_freq=8, gradient_steps=1, hidden=(8,))]
for agent in agents if sys.argv[2] == "forth" else agents[::-1]:
    agent.learn(32)
np.save(sys.argv[1], np.concatenate([agent.flat for agent in agents]))
"""


def test_mindspore_finds_each_program_whatever_was_compiled_before_it(tmp_path):
    require("mindspore")
    environment = os.environ | {"RLZOO_CACHE": str(tmp_path / "kept")}
    flats, kept = [], []
    for name in ("forth", "back"):
        subprocess.run([sys.executable, "-c", TWO, tmp_path / name, name], env=environment, check=True, timeout=120)
        flats.append(np.load(tmp_path / f"{name}.npy"))
        kept.append(kept_in(tmp_path / "kept"))
    assert kept[0] == kept[1] and len(kept[0]) == 2
    assert flats[0].tobytes() == flats[1].tobytes()


def test_what_tensorflow_keeps_is_for_a_version_and_a_processor(tmp_path, monkeypatch):
    monkeypatch.setenv("RLZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(cache.importlib.metadata, "version", lambda name: "2.21.0")
    here = cache.tensorflow_folder()
    assert here.parent == tmp_path / "tensorflow" / "2.21.0"
    monkeypatch.setattr(cache.Path, "read_text", lambda path, encoding: "model name : Another\nflags : fpu\n")
    assert cache.tensorflow_folder().parent == here.parent
    assert cache.tensorflow_folder() != here


def test_nothing_is_kept_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("RLZOO_CACHE", str(tmp_path))
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: SimpleNamespace(free=cache.ROOM))
    assert cache.folder("jax") is None


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


def test_none_without_a_home(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for variable in ("RLZOO_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(cache.Path, "home", homeless)
    assert cache.folder("jax") is None
