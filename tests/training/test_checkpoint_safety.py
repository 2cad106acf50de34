"""A checkpoint is whole or not there; a stranger's file is refused in one line, and nothing in it is run."""

from __future__ import annotations

import importlib
import json
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_agents import assert_same, everything, make

from rlzoo import UserError, load
from rlzoo.training import checkpoint

MANIFEST, ARRAYS = checkpoint.MANIFEST, checkpoint.ARRAYS


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A good checkpoint of an agent that never learned (no engine is needed), and what it holds."""
    agent = make("dqn", "numpy")
    agent.steps = 20
    agent.replay.add({name: column[:3] + 1 for name, column in agent.replay.data.items()})
    path = agent.save(tmp_path_factory.mktemp("original") / "good", replay=True)
    return path, everything(agent)


@pytest.fixture
def good(original, tmp_path):
    """A copy of it to be spoiled."""
    shutil.copytree(original[0], tmp_path / "good")
    return tmp_path / "good"


def spoil_manifest(path, **changes):
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | changes))


def spoil_arrays(path, change):
    arrays = load_file(path / ARRAYS)
    change(arrays)
    save_file(arrays, path / ARRAYS)


def refused(path, *words):
    """The one line with which it is refused."""
    with pytest.raises(UserError) as caught:
        load(path, backend="numpy")
    line = str(caught.value)
    assert "\n" not in line and len(line) < 700 and path.name in line
    for word in words:
        assert word in line
    return line


def names(folder):
    return sorted(file.name for file in folder.iterdir())


# ---- written beside and renamed --------------------------------------------------------------------------------------
def fails_at_once(arrays, path):
    raise OSError("no space left on device")


def fails_half_way(arrays, path):
    save_file(arrays, path)
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)
    raise OSError("no space left on device")


def is_killed_half_way(arrays, path):
    with pytest.raises(OSError):
        fails_half_way(arrays, path)
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [fails_at_once, fails_half_way, is_killed_half_way])
def test_a_failure_while_writing_leaves_the_last_good_one(failure, good, original, monkeypatch):
    newer = load(good, backend="numpy")
    newer.steps = 999
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", failure)
        for path in (good, good.with_name("fresh")):
            with pytest.raises(KeyboardInterrupt if failure is is_killed_half_way else UserError) as caught:
                newer.save(path, replay=True)
            assert failure is is_killed_half_way or "no space left" in str(caught.value)
    visible = [name for name in names(good.parent) if not name.startswith(".")]
    assert visible == ["good"]
    assert_same(everything(load(good, backend="numpy")), original[1])
    newer.save(good)  # what was left over is in nobody's way
    assert load(good, backend="numpy").steps == 999
    newer.save(good.with_name("fresh"))
    assert load(good.with_name("fresh"), backend="numpy").steps == 999


def test_a_manifest_that_cannot_be_written_leaves_the_last_good_one(good, original, monkeypatch):
    monkeypatch.setattr(checkpoint, "manifest", lambda agent: {"not JSON": object()})
    with pytest.raises(TypeError):
        load(good, backend="numpy").save(good)
    assert_same(everything(load(good, backend="numpy")), original[1])


def test_killed_between_the_two_renames_the_last_good_one_still_loads(good, original, monkeypatch):
    agent = load(good, backend="numpy")
    agent.steps = 999
    replace = checkpoint.os.replace

    def killed(source, target):
        if str(target) == str(good):
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            agent.save(good)
    assert not good.exists()
    assert_same(everything(load(good, backend="numpy")), original[1])
    agent.save(good)
    assert names(good.parent) == ["good"] and load(good, backend="numpy").steps == 999


def test_saving_again_replaces_and_leaves_nothing_else(good):
    agent = load(good, backend="numpy")
    agent.save(good)
    assert names(good.parent) == ["good"] and names(good) == [ARRAYS, MANIFEST]
    assert "replay/reward" not in load_file(good / ARRAYS)


@pytest.mark.parametrize("inside", [["thesis.tex"], [MANIFEST, "index.html"], [MANIFEST, ARRAYS, "notes.txt"], []])
def test_saving_over_what_is_no_checkpoint_refuses(inside, good, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    for name in inside:
        (folder / name).write_text("mine")
    with pytest.raises(UserError, match="is not a checkpoint: nothing was written"):
        load(good, backend="numpy").save(folder)
    assert names(folder) == sorted(inside) and all((folder / name).read_text() == "mine" for name in inside)
    assert names(tmp_path) == ["good", "work"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is not a checkpoint"):
        load(good, backend="numpy").save(tmp_path / "file")


# ---- damaged files ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", [MANIFEST, ARRAYS])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated(file, share, good):
    content = (good / file).read_bytes()
    (good / file).write_bytes(content[: int(share * len(content))])
    refused(good, file, "damaged")


@pytest.mark.parametrize(
    "text", ["hello", "[]", "null", "[" * 100_000, "\xff\xfe", '{"seed": ' + "9" * 5000 + "}"], ids=len
)
def test_a_manifest_that_is_something_else(text, good):
    (good / MANIFEST).write_bytes(text.encode("latin-1"))
    refused(good, MANIFEST, "damaged")


def test_missing_files(good):
    (good / ARRAYS).unlink()
    refused(good, ARRAYS)
    (good / MANIFEST).unlink()
    refused(good, "no run")


@pytest.mark.parametrize("key", list(checkpoint.Manifest.model_fields))
def test_a_manifest_without_a_key_or_with_the_wrong_type(key, good):
    whole = json.loads((good / MANIFEST).read_text())
    (good / MANIFEST).write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
    refused(good, "format None" if key == "format" else key)
    for wrong in (None, 1.5, [], {"a": []}, -1):
        (good / MANIFEST).write_text(json.dumps(whole | {key: wrong}))
        refused(good)


def test_a_format_of_the_future(good):
    spoil_manifest(good, format=checkpoint.FORMAT + 1)
    refused(good, "format 2", "reads format 1")


@pytest.mark.parametrize("generator", [
    {}, {"bit_generator": "MT19937"}, {"bit_generator": "PCG64", "state": {"state": "x", "inc": 1}},
])  # fmt: skip
def test_a_generator_that_is_none(generator, good):
    spoil_manifest(good, generator=generator)
    refused(good)


def test_arrays_that_do_not_fit(good):
    whole = load_file(good / ARRAYS)
    for name in whole:
        for wrong in (None, whole[name].astype(np.complex64 if whole[name].dtype.kind == "f" else np.int8),
                      whole[name][..., None], np.repeat(np.atleast_1d(whole[name]), 2, 0)):  # fmt: skip
            arrays = {key: value for key, value in whole.items() if key != name}
            save_file(arrays if wrong is None else arrays | {name: wrong}, good / ARRAYS)
            refused(good, name.rpartition("/")[2] if wrong is not None and not name.startswith("replay") else "")


@pytest.mark.parametrize("position", [-1, 2, 64, 10**12])
def test_a_replay_that_points_nowhere(position, good):
    spoil_arrays(good, lambda arrays: arrays.update({"replay/position": np.asarray(position)}))
    refused(good, "replay")


# ---- hostile files ---------------------------------------------------------------------------------------------------
def box(**changes):
    return {"kind": "Box", "shape": [4], "dtype": "float32", "low": -1.0, "high": 1.0} | changes


@pytest.mark.parametrize("changes", [
    {"observation_space": box(shape=[10**12])}, {"observation_space": box(shape=[1e12])},
    {"observation_space": box(shape=[10**6, 10**6])}, {"observation_space": box(shape=[-4])},
    {"observation_space": box(dtype="object")}, {"observation_space": box(dtype=["os"])},
    {"observation_space": box(low="x")}, {"observation_space": box(low=[1.0, 2.0])},
    {"observation_space": {"kind": "Discrete", "n": 10**12, "start": 0}},
    {"observation_space": {"kind": "MultiBinary", "n": 10**12}},
    {"action_space": {"kind": "Discrete", "n": 10**12, "start": 0}},
    {"action_space": {"kind": "Discrete", "n": -1, "start": 0}},
    {"action_space": {"kind": "Pickle", "n": "cos\nsystem"}},
    {"config": {"hidden": [10**9, 10**9]}}, {"config": {"hidden": "10000000000"}}, {"config": {"hidden": [64] * 1000}},
    {"config": {"hidden": {"__import__": "os"}}}, {"config": {"learning_rate": "__import__('os')"}},
    {"config": {"learning_rate": []}}, {"config": {"gamma": "nan"}}, {"config": {"n_envs": 10**19}},
    {"config": {"no_such": 1}}, {"config": {"buffer_size": 10**18}},
], ids=str)  # fmt: skip
def test_values_that_ask_for_terabytes_or_for_code(changes, good):
    whole = json.loads((good / MANIFEST).read_text())
    if "config" in changes:
        changes = {"config": whole["config"] | changes["config"]}
    spoil_manifest(good, **changes)
    refused(good, "damaged")


def test_a_header_that_asks_for_terabytes(good):
    header = json.dumps({"state/parameters": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}})
    (good / ARRAYS).write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 64)
    refused(good, ARRAYS)


@pytest.mark.parametrize("environment", ["os:Env", "antigravity:Env", "package.module:CartPole-v1"])
def test_a_module_named_in_a_file_is_not_imported(environment, good, monkeypatch):
    imported, really_import = [], importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: (imported.append(name), really_import(name))[1])
    spoil_manifest(good, environment=environment)
    agent = load(good, backend="numpy")
    agent.act(np.zeros(4, np.float32))
    for use in (agent.evaluate, lambda: agent.collector):
        with pytest.raises(UserError, match="loaded without an environment"):
            use()
    assert environment.partition(":")[0] not in imported and "antigravity" not in sys.modules


@pytest.mark.parametrize("algorithm", ["../x", "os", "rlzoo.algorithms.ppo", "__init__", "", "ppo\n"])
def test_an_algorithm_named_in_a_file_is_one_of_ours(algorithm, good, monkeypatch):
    import rlzoo.algorithms

    imported = []
    monkeypatch.setattr(rlzoo.algorithms, "import_module", imported.append)
    spoil_manifest(good, algorithm=algorithm)
    refused(good, "unknown algorithm")
    assert not imported
