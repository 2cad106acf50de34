"""`rlzoo show` and `rlzoo list`."""

from __future__ import annotations

import re
import warnings

import gymnasium
import pytest
from command_line import python

from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.backend import ENGINES
from rlzoo.training.resolve import resolve


def rows(outcome):
    """The cells of a plain table, its heading left out."""
    assert outcome.status == 0, outcome.err
    return [re.split(r"\s{2,}", line) for line in outcome.out.partition("\n\n")[0].splitlines()[1:]]


def sources(outcome):
    """What stands below the table."""
    return outcome.out.partition("\n\n")[2].splitlines()


def test_each_hyperparameter_comes_with_its_value_and_its_source(rlzoo):
    outcome = rlzoo("show", "ppo", "CartPole-v1", "--set", "n_steps=64", "gamma=0.9")
    shown = {name: cells for name, *cells in rows(outcome)}
    assert list(shown) == list(find("ppo").Config.model_fields)
    assert shown["n_steps"][:2] == ["64", "given"]
    assert shown["gamma"][:2] == ["0.9", "given"]
    assert shown["gae_lambda"][:2] == ["0.95", "environment CartPole-v1"]
    published = "RL Baselines3 Zoo, but n_envs and gae_lambda: tuned here on seeds 0 to 47"
    assert sources(outcome) == [f"environment CartPole-v1: {published}"]
    assert shown["learning_rate"][0] == "linear(0.001, 0)"
    assert shown["max_grad_norm"] == ["0.5", "default of ppo", "Norm that the gradient is clipped to."]
    assert sources(rlzoo("show", "sac", "Pendulum-v1"))[0].startswith("environment Pendulum-v1: tuned here")


def test_a_default_that_gives_way_is_shown_as_what_it_comes_to(rlzoo):
    shown = {name: cells for name, *cells in rows(rlzoo("show", "a2c", "CartPole-v1", "--set", "recurrent=lstm"))}
    assert shown["n_steps"][0] == "5" and shown["sequence_length"][:2] == ["5", "n_steps, which it divides"]
    refused = rlzoo("show", "a2c", "CartPole-v1", "--set", "recurrent=lstm", "sequence_length=16")
    assert (refused.status, refused.err) == (2, "error: a2c: n_steps = 5 is not a multiple of sequence_length = 16: "
                                             "set sequence_length = 5, or another n_steps\n")  # fmt: skip


def test_a_hyperparameter_that_never_has_a_say_is_left_out(rlzoo):
    shown = {name for name, *_ in rows(rlzoo("show", "qrdqn", "CartPole-v1"))}
    assert set(find("qrdqn").Config.model_fields) - shown == {"n_atoms", "v_min", "v_max"}


def test_a_family_is_a_source(rlzoo, monkeypatch):
    monkeypatch.setattr("rlzoo.training.resolve.published", lambda _: {
        "families": {"classic_control": {"source": "a paper", "gamma": 0.5, "n_envs": 3}},
        "environments": {"CartPole-v1": {"n_envs": 4}},
    })  # fmt: skip
    outcome = rlzoo("show", "ppo", "CartPole-v1")
    shown = {name: cells for name, *cells in rows(outcome)}
    assert shown["gamma"][:2] == ["0.5", "family classic_control"]
    assert shown["n_envs"][:2] == ["4", "environment CartPole-v1"]
    assert sources(outcome) == ["family classic_control: a paper"]


def test_no_hidden_layers_are_shown_as_they_can_be_set(rlzoo):
    shown = {name: cells for name, *cells in rows(rlzoo("show", "ppo", "CartPole-v1", "--set", "hidden="))}
    assert shown["hidden"][:2] == ["[]", "given"]
    assert rows(rlzoo("show", "ppo", "CartPole-v1", "--set", "hidden=[]"))[5][1] == "[]"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_shown_can_be_set(rlzoo, algorithm):
    kind = find(algorithm)
    shown = {name: value for name, value, *_ in rows(rlzoo("show", algorithm, "MountainCarContinuous-v0"))}
    published = resolve(algorithm, kind.Config, "MountainCarContinuous-v0", "classic_control", {})
    given = resolve(algorithm, kind.Config, "Other-v0", None, shown)
    assert given.config == published.config


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_field_is_documented(rlzoo, algorithm):
    assert all(len(cells) == 4 and cells[3].endswith(".") for cells in rows(rlzoo("show", algorithm, "CartPole-v1")))


def test_algorithms_say_where_they_act(rlzoo):
    listed = dict(rows(rlzoo("list", "algos")))
    assert list(listed) == list(ALGORITHMS)
    for name in ("dqn", "rainbow", "qrdqn", "discrete_sac"):
        assert "continuous" not in listed[name] and "for discrete actions" in listed[name]
    for name in ("sac", "td3", "ddpg", "tqc"):
        assert "discrete" not in listed[name] and "for continuous actions" in listed[name]


def test_environments_with_hyperparameters_come_first(rlzoo):
    listed = rows(rlzoo("list", "envs"))
    tuned = [cells for cells in listed if len(cells) == 2]
    assert listed[: len(tuned)] == tuned
    for_each = {env: algorithms.split(", ") for env, algorithms in tuned}
    assert {"ppo", "dqn"} <= set(for_each["CartPole-v1"]) and {"ppo", "sac"} <= set(for_each["Pendulum-v1"])
    assert "sac" not in for_each["CartPole-v1"] and "dqn" not in for_each["Pendulum-v1"]
    names = [cells[0] for cells in listed]
    assert len(set(names)) == len(names) and set(names) >= {"Taxi-v4", "Pusher-v5"}
    versions = [(spec.namespace, spec.name) for spec in (gymnasium.spec(name) for name in names[len(tuned) :])]
    assert len(set(versions)) == len(versions), "one version of each"
    assert {name for name in gymnasium.registry if name not in names} >= {"Ant-v4", "CartPole-v0", "Pusher-v4"}


def test_engines_say_whether_they_are_here_and_which_auto_takes(rlzoo, monkeypatch):
    monkeypatch.setattr("rlzoo.backend.is_installed", lambda name: name in ("torch", "mindspore"))
    listed = {name: cells for name, *cells in rows(rlzoo("list", "backends"))}
    assert tuple(listed) == ENGINES
    assert listed["jax"] == ["not installed", "run pip install '.[jax]' in a checkout of rlzoo"]
    assert listed["torch"][1:] == ["run pip install '.[torch]' in a checkout of rlzoo", "auto takes this one"]
    assert listed["mindspore"][1:] == ["run pip install '.[mindspore]' in a checkout of rlzoo"]


def test_a_terminal_that_lacks_a_letter_shows_another(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    process = python("-m", "rlzoo", "show", "ppo", "CartPole-v1")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "") and "? of the generalized advantage" in out


def test_algorithms_are_listed_where_python_leaves_docstrings_out():
    out, err = python("-OO", "-m", "rlzoo", "list", "algos").communicate()
    assert ([line.strip() for line in out.splitlines()[1:]], err) == ([*ALGORITHMS], "")


@pytest.mark.parametrize("columns, is_table", [(80, True), (50, False)])
def test_a_table_on_a_terminal_has_room_for_its_words(rlzoo, monkeypatch, columns, is_table):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shown = rlzoo("show", "ppo", "CartPole-v1").out
    assert ("───" in shown) == is_table and "normalize_observation" in shown and "linear(0.001" in shown


def test_what_is_warned_of_is_a_mistake_where_warnings_are_errors(rlzoo):
    words = ["show", "ppo", "CartPole-v1", "--set", "kl_target=0.5"]
    told = "kl_target = 0.5 has no effect on ppo without objective = kl\n"
    with warnings.catch_warnings(action="always"):
        outcome = rlzoo(*words)
    assert (outcome.status, outcome.err) == (0, f"warning: {told}")
    with warnings.catch_warnings(action="error"):
        outcome = rlzoo(*words)
    assert (outcome.status, outcome.out, outcome.err) == (2, "", f"error: {told}")
