"""A checkpoint is whole or not there; a stranger's file is refused in one line, and nothing in it is run."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sys
import tracemalloc

import numpy as np
import pytest
from environments import PartsOfAll, copies
from safetensors.numpy import load_file, save_file
from tiny_agents import BITS, assert_same, everything, make

from rlzoo import DQN, UserError, load
from rlzoo.backend import tree
from rlzoo.nn import Dense, Sequential
from rlzoo.policies.encoders import VectorEncoder
from rlzoo.training import arrays, checkpoint, checkpoint_files

MANIFEST, ARRAYS = checkpoint_files.MANIFEST, checkpoint_files.ARRAYS


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A good checkpoint of an agent that never learned (no engine is needed), and what it holds."""
    agent = make("dqn", "numpy")
    agent.steps = 20
    agent.replay.add({name: column[:4] + 1 for name, column in agent.replay.data.items()})
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
    write_arrays(path, arrays)


def write_arrays(path, arrays):
    """As a stranger would, who writes the digest that fits."""
    save_file(arrays, path / ARRAYS)
    spoil_manifest(path, sha256=hashlib.sha256((path / ARRAYS).read_bytes()).hexdigest())


def refused(path, *words):
    """The one line with which it is refused."""
    with pytest.raises(UserError) as caught:
        load(path, backend="numpy", replay=True)
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
    newer = load(good, backend="numpy", replay=True)
    newer.steps = 999
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", failure)
        for path in (good, good.with_name("fresh")):
            with pytest.raises(KeyboardInterrupt if failure is is_killed_half_way else UserError) as caught:
                newer.save(path, replay=True)
            assert failure is is_killed_half_way or "no space left" in str(caught.value)
    assert names(good.parent) == ["good"]
    assert_same(everything(load(good, backend="numpy", replay=True)), original[1])
    shutil.copytree(good, good.with_name(".good.writing"))
    newer.save(good)  # what a killed process left is in nobody's way
    assert load(good, backend="numpy").steps == 999
    newer.save(good.with_name("fresh"))
    assert load(good.with_name("fresh"), backend="numpy").steps == 999


@pytest.mark.parametrize("leads_to", ["good", "nowhere"])
def test_a_link_is_replaced_as_often_as_is_saved_there_and_what_it_leads_to_stays(leads_to, good, original):
    newer, latest = load(good, backend="numpy"), good.with_name("latest")
    latest.symlink_to(leads_to)
    (good / ".DS_Store").touch()
    for newer.steps in (998, 999):
        newer.save(latest)
        assert load(latest, backend="numpy").steps == newer.steps
    assert names(good.parent) == ["good", "latest"]
    assert_same(everything(load(good, backend="numpy", replay=True)), original[1])
    assert ".DS_Store" in names(good)


def test_a_manifest_that_cannot_be_written_leaves_the_last_good_one(good, original, monkeypatch):
    monkeypatch.setattr(checkpoint, "manifest", lambda agent: {"not JSON": object()})
    with pytest.raises(TypeError):
        load(good, backend="numpy").save(good)
    assert_same(everything(load(good, backend="numpy", replay=True)), original[1])


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
    assert_same(everything(load(good, backend="numpy", replay=True)), original[1])
    agent.save(good)
    assert names(good.parent) == ["good"] and load(good, backend="numpy").steps == 999


@pytest.mark.parametrize("moment", ["after its manifest", "before its digest", "half, after its manifest"])
def test_a_checkpoint_that_is_replaced_while_it_is_read_is_read_again(moment, good, monkeypatch):
    newer, half = load(good, backend="numpy"), moment.startswith("half")
    newer.steps = 999
    changes = [lambda: good.replace(checkpoint_files.old_of(good)) if half else newer.save(good)]  # once
    module, name = (arrays, "digest") if "digest" in moment else (checkpoint_files, "read_manifest")
    act = getattr(module, name)

    def acts(path):
        if "before" in moment and changes:
            changes.pop()()
        result = act(path)
        if "after" in moment and changes:
            changes.pop()()
        return result

    with monkeypatch.context() as patch:
        patch.setattr(module, name, acts)
        found = load(good, backend="numpy", replay=True)
    assert not changes and (found.steps, len(found.replay)) == ((20, 4) if half else (999, 0))


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


def test_paths_that_the_system_refuses(good, tmp_path, monkeypatch):
    agent = load(good, backend="numpy")
    for act in (load, DQN.load):
        with pytest.raises(UserError, match=r"^cannot read .*xxx .File name too long.: "):
            act("x" * 300)
    with pytest.raises(UserError, match=r"^/ exists and is not a checkpoint"):
        agent.save("/")
    with pytest.raises(UserError, match=r"^cannot write checkpoint .*File name too long"):
        agent.save(tmp_path / ("x" * 300))

    def forbidden(path, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.stat", forbidden)
    with pytest.raises(UserError, match=r"^cannot read .*good .Permission denied.: "):
        load(good)
    with pytest.raises(UserError, match=r"^cannot write checkpoint .*good .*Permission denied"):
        agent.save(good)


# ---- damaged files ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", [MANIFEST, ARRAYS])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated(file, share, good):
    content = (good / file).read_bytes()
    (good / file).write_bytes(content[: int(share * len(content))])
    refused(good, file, "damaged")


def test_numbers_that_changed_on_the_disk(good):
    content = bytearray((good / ARRAYS).read_bytes())
    content[-5] ^= 1
    (good / ARRAYS).write_bytes(content)
    refused(good, ARRAYS, "its content is not what manifest.json says")


def flip(path, name):
    """Change a bit of an array of a checkpoint as it lies on the disk."""
    content = bytearray((path / ARRAYS).read_bytes())
    header = int.from_bytes(content[:8], "little")
    content[8 + header + json.loads(content[8 : 8 + header])[name]["data_offsets"][0]] ^= 1
    (path / ARRAYS).write_bytes(content)


def test_who_does_not_learn_reads_no_replay_and_all_else_is_checked(good, original):
    agent = load(good, backend="numpy")
    assert len(agent.replay) == 0 and len(load(good, backend="numpy", replay=True).replay) == 4
    state = {name: value for name, value in original[1].items() if not name.startswith("replay/")}
    assert_same({name: everything(agent)[name] for name in state}, state)
    flip(good, "replay/reward")
    assert_same(everything(load(good, backend="numpy")), everything(agent))
    refused(good, "its content is not what manifest.json says")
    flip(good, "state/parameters")
    with pytest.raises(UserError, match=r"its content is not what manifest\.json says"):
        load(good, backend="numpy")


def test_loading_takes_the_memory_of_a_replay_once_or_not_at_all(tmp_path):
    agent = make("dqn", "numpy", buffer_size=500_000)
    agent.replay.add(agent.replay.data)
    size = sum(column.nbytes for column in agent.replay.arrays().values())
    path, peaks = agent.save(tmp_path / "saved", replay=True), []
    for replay in (True, False):
        tracemalloc.start()
        try:
            load(path, backend="numpy", replay=replay)
            peaks.append(tracemalloc.get_traced_memory()[1] / size)
        finally:
            tracemalloc.stop()
    assert 1.0 <= peaks[0] < 1.9 and peaks[1] < 0.2, peaks


def test_whoever_may_read_the_one_file_may_read_the_other(good):
    assert (good / ARRAYS).stat().st_mode == (good / MANIFEST).stat().st_mode


class OwnDQN(DQN):
    """DQN with wider layers than its config says."""

    def encoder(self, observation_space):
        return Sequential((VectorEncoder(), Dense(7)))


def test_an_agent_of_a_class_of_ones_own(good, tmp_path):
    agent = OwnDQN("CartPole-v1", backend="numpy", hidden=(8,))
    path = agent.save(tmp_path / "own")
    with pytest.raises(UserError, match=r"own holds an agent of the class OwnDQN, not DQN: OwnDQN\.load\(path\)"):
        load(path)
    with pytest.raises(UserError, match="of the class DQN, not OwnDQN"):
        OwnDQN.load(good)
    again = OwnDQN.load(path, backend="numpy")
    assert type(again) is OwnDQN
    assert_same(everything(again), everything(agent))


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


@pytest.mark.parametrize("key", sorted({*checkpoint_files.Manifest.model_fields} - {"evaluation_return"}))
def test_a_manifest_without_a_key_or_with_the_wrong_type(key, good):
    whole = json.loads((good / MANIFEST).read_text())
    (good / MANIFEST).write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
    refused(good, "format None" if key == "format" else key)
    for wrong in (None, 1.5, [], {"a": []}, -1):
        (good / MANIFEST).write_text(json.dumps(whole | {key: wrong}))
        refused(good)


def test_the_return_that_only_a_best_checkpoint_has(good):
    assert "evaluation_return" not in json.loads((good / MANIFEST).read_text())
    for wrong in ("400", True, [], {"a": []}):
        spoil_manifest(good, evaluation_return=wrong)
        refused(good, "evaluation_return")
    for right in (None, 400, -1.5):
        spoil_manifest(good, evaluation_return=right)
        assert checkpoint_files.read_manifest(good)["evaluation_return"] == right


def test_a_format_of_the_future(good):
    spoil_manifest(good, format=checkpoint_files.FORMAT + 1)
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
            write_arrays(good, arrays if wrong is None else arrays | {name: wrong})
            refused(good, name.rpartition("/")[2] if wrong is not None and not name.startswith("replay") else "")


@pytest.mark.parametrize("position", [-1, 2, 64, 10**12])
def test_a_replay_that_points_nowhere(position, good):
    spoil_arrays(good, lambda arrays: arrays.update({"replay/position": np.asarray(position)}))
    refused(good, "replay")


def test_a_replay_of_half_a_step(good):
    def spoil(arrays):
        arrays |= {name: rows[:3] for name, rows in arrays.items() if name.startswith("replay/") and rows.ndim}
        arrays["replay/position"] = np.asarray(3)

    spoil_arrays(good, spoil)
    refused(good, "a replay of 3 rows", "of 2 environments")


@pytest.fixture(scope="module")
def goals(tmp_path_factory):
    """A checkpoint with priorities and hindsight: in each of two environments an episode of two steps and one begun."""
    agent = make("dqn", "numpy", env=BITS, hindsight="future", prioritized=True, buffer_size=8)
    rows = tree.map(lambda x: x[:6].copy(), agent.replay.data)
    rows["valid"][:], rows["terminated"][2:4] = 1.0, 1.0
    agent.replay.add(rows)
    assert agent.replay.step[:6].tolist() == [0, 0, 1, 1, 0, 0]
    assert agent.replay.final[:6].tolist() == [1, 1, 1, 1, -1, -1]
    path = agent.save(tmp_path_factory.mktemp("goals") / "good", replay=True)
    again = load(path, backend="numpy", replay=True)
    assert_same(everything(again), everything(agent))
    return path


def changed(rows, at, value):
    rows = rows.copy()
    rows[at] = value
    return rows


@pytest.mark.parametrize("name, change, word", [
    ("step", lambda x: changed(x, 4, -1), "replay step"), ("step", lambda x: changed(x, 4, 2**62), "replay step"),
    ("step", lambda x: x.astype(np.int32), "replay step is int32"),
    ("step", lambda x: x[:4], "replay step is int64 (4,)"),
    ("final", lambda x: changed(x, 4, -2), "replay final"), ("final", lambda x: changed(x, 2, 0), "replay final"),
    ("final", lambda x: changed(x, 2, 3), "replay final"), ("final", lambda x: changed(x, 4, 1), "not in the buffer"),
    ("final", lambda x: changed(x, 4, 2**63 - 1), "replay final"), ("final", lambda x: x[:, None], "replay final"),
    ("next_step", lambda x: changed(x, 0, -1), "next_step"), ("next_step", lambda x: x[:1], "next_step"),
    ("next_step", lambda x: changed(x, 0, 2**63 - 1), "next_step"),
    ("priority", lambda x: changed(x, 1, -1.0), "priorities are not"),
    ("priority", lambda x: changed(x, 1, np.nan), "priorities are not"),
    ("priority", lambda x: changed(x, 1, np.inf), "priorities are not"),
    ("priority", lambda x: changed(x, 1, 1.5), "at least 0 and at most 1.0"),
    ("priority", lambda x: x.astype(np.float32), "priorities: float32"),
    ("priority", lambda x: x[:5], "priorities: float64"),
    *(("largest_priority", lambda x, bad=bad: np.asarray(bad), "largest_priority")
      for bad in (0.0, -1.0, np.nan, np.inf, 1e308, [1.0], 1)),
])  # fmt: skip
def test_priorities_and_episodes_that_cannot_be(name, change, word, goals, tmp_path):
    path = shutil.copytree(goals, tmp_path / "spoiled")
    spoil_arrays(path, lambda arrays: arrays.update({f"replay/{name}": change(arrays[f"replay/{name}"])}))
    refused(path, word)


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
    {"config": {"no_such": 1}}, {"config": {"buffer_size": 10**18}}, {"format": [1] * 1000},
    {"episodes": {"finished": 1, "returns": [1.0], "lengths": [10**400], "successes": []}},
], ids=str)  # fmt: skip
def test_values_that_ask_for_terabytes_or_for_code(changes, good):
    whole = json.loads((good / MANIFEST).read_text())
    if "config" in changes:
        changes = {"config": whole["config"] | changes["config"]}
    spoil_manifest(good, **changes)
    refused(good, "damaged")


def nested(kind, depth):
    space = box(shape=[3])
    for _ in range(depth):
        space = {"kind": kind, "spaces": {"a": space} if kind == "Dict" else [space]}
    return space


def dict_of(**parts):
    return {"kind": "Dict", "spaces": parts}


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Checkpoints of agents that see parts: of a Dict; with memory; with masks; with stacked frames."""
    folder, dicts = tmp_path_factory.mktemp("parts"), copies(PartsOfAll, 2)
    recurrent = dict(recurrent="lstm", recurrent_units=4, sequence_length=5)
    for name, env, settings in (("parts", dicts, {}), ("recurrent", None, recurrent), ("masked", dicts,
                                dict(action_masks=True)), ("stacked", None, dict(frame_stack=2))):  # fmt: skip
        agent = make("ppo", "numpy", env=env, batch_size=10, normalize_observation=False, **settings)
        assert_same(everything(load(agent.save(folder / name), backend="numpy")), everything(agent))
    return folder


@pytest.mark.parametrize("space", [
    nested("Dict", 300), nested("Tuple", 300), dict_of(), dict_of(a=dict_of()), dict_of(a=None),
    dict_of(a="os"), {"kind": "Dict", "spaces": [box()]}, {"kind": "Tuple", "spaces": {"a": box()}}, {"kind": "Dict"},
    {"kind": "Tuple", "spaces": "abc"}, {"kind": ["Dict"], "spaces": {}}, dict_of(a=box(shape=[10**12])),
    dict_of(a=box(shape=[10**5, 10**5, 1], dtype="uint8")), dict_of(a={"kind": "Discrete", "n": 10**10, "start": 0}),
    dict_of(a={"kind": "MultiBinary", "n": 10**10}), dict_of(a={"kind": "MultiBinary", "n": [10**6, 10**6]}),
    dict_of(a={"kind": "MultiDiscrete", "nvec": [10**9] * 5, "start": [0] * 5}),
    dict_of(a={"kind": "MultiDiscrete", "nvec": [[2] * 300] * 300, "start": [[0] * 300] * 300}),
    {"kind": "Tuple", "spaces": [box(shape=[1])] * 20_000}, {"kind": "Tuple", "spaces": [box(shape=[0])] * 20_000},
])  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_parts_that_are_none_or_larger_than_the_networks(space, parts, tmp_path):
    path = shutil.copytree(parts / "parts", tmp_path / "spoiled")
    spoil_manifest(path, observation_space=space)
    tracemalloc.start()
    try:
        refused(path, "damaged")
        assert tracemalloc.get_traced_memory()[1] < 300e6
    finally:
        tracemalloc.stop()


def test_parts_with_odd_names_are_only_names(parts, tmp_path):
    path = shutil.copytree(parts / "parts", tmp_path / "odd")
    found = json.loads((path / MANIFEST).read_text())["observation_space"]["spaces"]
    spoil_manifest(path, observation_space=dict_of(**{"../../__import__('os')": found["a"], "": found["b"]}))
    agent = load(path, backend="numpy")
    expected = load(parts / "parts", backend="numpy").act({"a": np.ones(3), "b": (1, np.ones(2))})
    assert agent.act({"../../__import__('os')": np.ones(3), "": (1, np.ones(2))}) == expected


@pytest.mark.parametrize("kind, config, word", [
    ("recurrent", {"recurrent_units": 10**6}, "more parameters than the file"),
    ("recurrent", {"recurrent_units": 10**9}, "more parameters than the file"),
    ("recurrent", {"recurrent_units": 10**30}, "damaged"), ("recurrent", {"recurrent_units": -1}, "recurrent_units"),
    ("recurrent", {"recurrent_units": 5}, "state/parameters"),
    ("recurrent", {"recurrent_units": 3}, "state/parameters"), ("recurrent", {"recurrent": "gru"}, "state/parameters"),
    ("recurrent", {"recurrent": "os"}, "recurrent = 'os'"), ("recurrent", {"recurrent": None}, "state/parameters"),
    ("recurrent", {"recurrent": "gru", "recurrent_units": 10**9}, "more parameters than the file"),
    ("recurrent", {"sequence_length": 10**12}, "sequence_length"),
    ("stacked", {"frame_stack": 10**9}, "frame_stack = 1000000000 does not fit"),
    ("stacked", {"frame_stack": 10**30}, "frame_stack"), ("stacked", {"frame_stack": 3}, "frame_stack = 3 does not"),
    ("stacked", {"frame_stack": 0}, "frame_stack"), ("parts", {"frame_stack": 2}, "frame_stack = 2 does not fit"),
    ("masked", {"frame_stack": 2}, "frame_stack = 2 does not fit"),
    ("parts", {"action_masks": True}, "action_masks = true does not fit"),
    ("stacked", {"action_masks": True}, "action_masks = true does not fit"),
])  # fmt: skip
def test_settings_that_are_not_of_these_networks(kind, config, word, parts, tmp_path):
    path = shutil.copytree(parts / kind, tmp_path / "spoiled")
    spoil_manifest(path, config=json.loads((path / MANIFEST).read_text())["config"] | config)
    tracemalloc.start()
    try:
        refused(path, word)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("variant, settings, changes", [
    ("rainbow", {}, {"config": {"n_atoms": 5 * 10**7}}), ("rainbow", {}, {"config": {"hidden": [10**8]}}),
    ("dqn", {"noisy": True}, {"config": {"hidden": [10**8]}}), ("qrdqn", {}, {"config": {"n_quantiles": 10**8}}),
    ("rainbow", {"hidden": (64,)}, {"config": {"hidden": [4000, 4000]}}),
    ("sac", {}, {"config": {"n_critics": 10**8}}), ("sac", {}, {"config": {"n_critics": 5000}}),
    ("sac", {}, {"config": {"hidden": [1] * 10_000}}), ("sac", {}, {"config": {"hidden": [900, 900, 900]}}),
    ("ppo", {}, {"config": {"hidden": [1]}, "observation_space": box(shape=[10**6])}),
    ("ppo", {}, {"config": {"hidden": [10**8]}, "observation_space": box(shape=[0])}),
])  # fmt: skip
def test_networks_much_larger_than_the_file_are_not_made(variant, settings, changes, tmp_path):
    path = make(variant, "numpy", normalize_observation=False, **settings).save(tmp_path / "spoiled")
    config = json.loads((path / MANIFEST).read_text())["config"] | changes["config"]
    spoil_manifest(path, **changes | {"config": config})
    tracemalloc.start()
    try:
        refused(path, "more parameters than the file")
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("mask", [
    None, box(shape=[3]), {"kind": "MultiBinary", "n": 4}, {"kind": "MultiBinary", "n": 10**11}, nested("Dict", 1),
], ids=str)  # fmt: skip
def test_masks_that_are_not_of_these_actions(mask, parts, tmp_path):
    path = shutil.copytree(parts / "masked", tmp_path / "spoiled")
    inside = json.loads((path / MANIFEST).read_text())["observation_space"]["spaces"]["observation"]
    spoil_manifest(path, observation_space=dict_of(**({"action_mask": mask} if mask else {}), observation=inside))
    refused(path, "damaged")


def test_a_header_that_asks_for_terabytes(good):
    header = json.dumps({"state/parameters": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}})
    (good / ARRAYS).write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 64)
    refused(good, ARRAYS)


@pytest.mark.parametrize("environment", ["os:Env", "antigravity:Env", "package.module:CartPole-v1", "CartPole-v1,"])
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
