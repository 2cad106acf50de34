"""`--set NAME=VALUE …`: what it takes, and that text becomes the value it says."""

from __future__ import annotations

import pytest
import typer
from command_line import TINY

from rlzoo.algorithms import find
from rlzoo.cli.settings import settings_of, spread, whole
from rlzoo.errors import UserError
from rlzoo.nn.schedules import Schedule
from rlzoo.training.resolve import resolve
from rlzoo.training.run import Run


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "a=1"], ["--set", "a=1"]),
        (["--set", "a=1", "b=2", "c=3"], ["--set", "a=1", "--set", "b=2", "--set", "c=3"]),
        (["--set", "a=1", "b=2", "--quiet"], ["--set", "a=1", "--set", "b=2", "--quiet"]),
        (["--set", "a=1", "--set", "b=2"], ["--set", "a=1", "--set", "b=2"]),
        (["--set=a=1", "b=2"], ["--set=a=1", "--set", "b=2"]),
        (["show", "--set", "a=1", "ppo", "b=2"], ["show", "--set", "a=1", "ppo", "b=2"]),
        (["--set", "a=linear(1, 0)", "b="], ["--set", "a=linear(1, 0)", "--set", "b="]),
        (["--out", "a=1"], ["--out", "a=1"]),
        (["--", "--set", "a=1", "b=2"], ["--", "--set", "a=1", "b=2"]),
    ],
)
def test_several_values_after_one_set(words, expected):
    assert spread(words) == expected


def test_a_folder_at_home_is_not_one_called_tilde(rlzoo, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert rlzoo("train", "--algo", "ppo", *TINY, "--steps", 64, "--quiet", "--out=~/run").out.endswith("/home/run\n")
    assert (tmp_path / "home/run/run.json").exists() and not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    "words", [["--set"], ["--set", "learning_rate", "3e-4"], ["--set", "--quiet"], ["--set", "=3"]]
)
def test_what_is_no_setting_is_refused(words):
    with pytest.raises(UserError, match="--set takes NAME=VALUE"):
        spread(words)


def test_a_value_may_hold_an_equals_sign_and_a_name_comes_once():
    assert settings_of(["a=b=c"], steps=5, n_envs=None) == {"steps": 5, "a": "b=c"}
    with pytest.raises(UserError, match="steps is given twice: 5 and 6"):
        settings_of(["steps=6"], steps=5)
    with pytest.raises(UserError, match="a is given twice"):
        settings_of(["a=1", "a=1"])


def test_a_file_of_hyperparameters(tmp_path):
    """What else is given goes before it."""
    (file := tmp_path / "mine.toml").write_text('learning_rate = "linear(1e-3, 0)"\nhidden = [32, 16]\nn_steps = 64\n')
    found = settings_of(["n_steps=128"], file, n_envs=2)
    assert found == {"learning_rate": "linear(1e-3, 0)", "hidden": [32, 16], "n_steps": "128", "n_envs": 2}
    given = resolve("ppo", find("ppo").Config, "CartPole-v1", None, found).config
    assert given.learning_rate == Schedule(1e-3, 0.0, kind="linear")
    assert given.hidden == (32, 16) and given.n_steps == 128
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())  # the mark that an editor on Windows begins a file with
    assert settings_of(["n_steps=128"], file, n_envs=2) == found


@pytest.mark.parametrize("name", ["sac", "ppo", "dqn"])
def test_the_hyperparameters_of_a_run_are_those_of_another(name, tmp_path):
    """All of them, those that it took from elsewhere too, as what `config.json` holds reads back."""
    given = {"hidden": (8,), "recurrent": "gru", "sequence_length": 4, "n_envs": 2}
    given |= {"n_steps": 8, "batch_size": 8} if name == "ppo" else {}
    agent = find(name)("Pendulum-v1" if name == "sac" else "CartPole-v1", backend="numpy", **given)
    folder = Run.create(tmp_path / "run", agent, []).folder
    for path in (folder, folder / "config.json"):
        assert resolve(name, find(name).Config, "Acrobot-v1", None, settings_of(None, path)).config == agent.config


def test_what_followed_from_others_in_a_run_follows_from_them_again(tmp_path, recwarn):
    """A length of sequences, and the steps of a rollout in fewer environments, that nobody gave."""
    agent = find("ppo")("CartPole-v1", backend="numpy", recurrent="lstm", n_envs=4, batch_size=24)
    assert (agent.config.sequence_length, agent.config.n_steps) == (8, 128)
    found = settings_of(None, Run.create(tmp_path / "run", agent, []).folder)
    ppo = find("ppo").Config
    assert resolve("ppo", ppo, "CartPole-v1", "classic_control", found).config == agent.config
    assert resolve("ppo", ppo, "CartPole-v1", None, found | {"batch_size": 32}).config.sequence_length == 16
    assert resolve("ppo", ppo, "CartPole-v1", None, found | {"recurrent": None}).config.recurrent is None
    assert not recwarn.list


@pytest.mark.parametrize(("file", "text", "message"), [
    (".", None, "has no config.json: name a run's folder"), ("a.toml", None, "No such file"),
    ("x" * 300, None, "File name too long"),
    ("a.toml", "n_steps: 3", "cannot be read as TOML: .*line 1"),
    ("a.json", "{", "cannot be read as JSON"), ("a.json", "[1]", "holds no hyperparameters"),
    ("a.json", "[" * 100_000, "cannot be read as JSON"), ("a.toml", b"n = '\xff'", "cannot be read as TOML"),
    ("a.toml", "seed = 3", "seed, which is not a hyperparameter: give --seed"),
    ("a.toml", "[environments.CartPole-v1]\nn_steps = 3", r"a table \[environments\]: write lines NAME = VALUE alone"),
])  # fmt: skip
def test_a_file_that_is_not_of_hyperparameters(file, text, message, tmp_path):
    if text is not None:
        (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        settings_of(None, tmp_path / file)


@pytest.mark.parametrize(("text", "number"), [("1e3", 1000), ("2.5e6", 2_500_000), ("7.0", 7), ("12", 12), (12, 12)])
def test_a_whole_number_may_be_written_as_people_do(text, number):
    found = whole(1)(text)
    assert found == number and type(found) is int


@pytest.mark.parametrize("text", ["1.5", "1e-3", "inf", "nan", "-1e3", "0", "1e", "many", ""])
def test_what_is_not_a_whole_number_is_refused(text):
    with pytest.raises(typer.BadParameter, match=f"'{text}' is not a whole number of at least 1"):
        whole(1)(text)


def config(algorithm="ppo", **values):
    kind = find(algorithm)
    return resolve(kind.name, kind.Config, "CartPole-v1", "classic_control", values).config


@pytest.mark.parametrize(
    ("text", "value"),
    [("False", False), ("false", False), ("0", False), ("no", False), ("True", True), ("true", True), ("1", True)],
)
def test_a_flag_says_what_is_written(text, value):
    assert config(normalize_observation=text).normalize_observation is value
    assert config(normalize_advantage=text).normalize_advantage is value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("target_kl", "none", None),
        ("target_kl", "None", None),
        ("target_kl", "0.01", 0.01),
        ("hidden", "64,32", (64, 32)),
        ("hidden", "[16]", (16,)),
        ("n_steps", "64", 64),
        ("gamma", "9.5e-1", 0.95),
        ("activation", "relu", "relu"),
    ],
)
def test_text_is_parsed_by_the_field(name, text, value):
    assert getattr(config(**{name: text}), name) == value


def test_schedules_are_text_too():
    made = config(learning_rate="linear(1e-3, 0)", clip_range="0.1")
    assert [made.learning_rate(x) for x in (0.0, 0.5, 1.0)] == [1e-3, 5e-4, 0.0]
    assert made.clip_range(0.7) == 0.1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("normalize_observation", "maybe"), ("normalize_observation", "none"), ("n_steps", "64.5"), ("n_steps", "none"),
        ("gamma", "nan"), ("log_std_init", "nan"), ("hidden", "64,big"), ("hidden", "64,-1"), ("learning_rate", "fast"),
        ("clip_range", "nan"), ("activation", "tahn"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_field_is_refused_with_its_value(name, text):
    with pytest.raises(UserError) as error:
        config(**{name: text})
    assert str(error.value).startswith(f"{name} = ") and text.split(",")[-1] in str(error.value)


@pytest.mark.parametrize(("name", "value"), [
    ("n_steps", True), ("gamma", False), ("hidden", True), ("hidden", [8, True]), ("learning_rate", True),
    ("target_kl", True),
])  # fmt: skip
def test_true_of_a_file_is_no_number(name, value):
    with pytest.raises(UserError, match=f"{name} = .* of ppo is not valid: write a number, not true or false"):
        config(**{name: value})
