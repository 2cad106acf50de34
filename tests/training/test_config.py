"""Hyperparameters: where each value comes from, what is refused and how, and that text reads back as it was."""

from __future__ import annotations

import inspect
import json
from typing import Annotated

import gymnasium as gym
import numpy as np
import pytest
from pydantic import Field

from rlzoo import RlzooWarning, UserError, load
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.nn.schedules import Schedule, Scheduled, schedule
from rlzoo.training import resolve as resolve_module
from rlzoo.training.published import parsed, published_environments
from rlzoo.training.published import published as tables
from rlzoo.training.resolve import resolve, validate
from rlzoo.training.text import type_name

PUBLISHED = {
    "families": {"farm": {"source": "a book", "gamma": 0.9, "n_envs": 4, "hidden": [16]}},
    "environments": {"Cow-v1": {"source": "a paper", "gamma": 0.8, "hidden": [32, 32]}, "Hen-v1": {"n_envs": 2}},
}


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setattr(resolve_module, "published", lambda algorithm: PUBLISHED)


def resolved(env, family, **given):
    return resolve("ppo", find("ppo").Config, env, family, given)


def test_defaults_then_family_then_environment_then_what_is_given(published):
    found = resolved("farm:Cow-v1", "farm", hidden="8,8")
    c, sources = found.config, found.sources
    assert (c.clip_range(0.0), c.n_envs, c.gamma, c.hidden) == (0.2, 4, 0.8, (8, 8))
    assert sources["clip_range"] == "default of ppo"
    assert sources["n_envs"] == "family farm (a book)"
    assert sources["gamma"] == "environment Cow-v1 (a paper)"
    assert sources["hidden"] == "given"
    assert sources.keys() == type(c).model_fields.keys()
    assert resolved("Hen-v1", None).sources["n_envs"] == "environment Hen-v1"
    assert resolved("Dog-v1", "farm").config.gamma == 0.9
    assert resolved("Dog-v1", None).config == find("ppo").Config()


def test_another_version_of_a_known_environment_has_its_values(published):
    found = resolved("Cow-v0,age=3", "farm")
    assert (found.config.gamma, found.sources["gamma"]) == (0.8, "environment Cow-v1 (a paper)")
    assert resolved("Cow-v0", None).config == find("ppo").Config(), "a stranger's environment, which may be any other"
    assert resolved("Cows-v1", "farm").config.gamma == resolved("Co-v1", "farm").config.gamma == 0.9


def test_published_values_differ_across_environments():
    for algorithm, envs in {"ppo": ("CartPole-v1", "Pendulum-v1"), "dqn": ("CartPole-v1", "Acrobot-v1"),
                            "sac": ("Pendulum-v1", "MountainCarContinuous-v0")}.items():  # fmt: skip
        kind = find(algorithm).Config
        first, second = (resolve(algorithm, kind, env, "classic_control", {}).config for env in envs)
        assert first.learning_rate != second.learning_rate and first.steps != kind().steps


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_published_entry_is_valid_and_has_a_source(algorithm):
    for group in tables(algorithm).values():
        for section, entries in group.items():
            values = dict(entries)
            assert len(values.pop("source", "")) > 3, f"[{section}] names no source"
            assert values, f"[{section}] is empty"
            validate(algorithm, find(algorithm).Config, values)
    for env in published_environments(algorithm):
        found = resolve(algorithm, find(algorithm).Config, env, "classic_control", {})
        assert any(source.startswith(f"environment {env}") for source in found.sources.values())


@pytest.mark.parametrize("text, said", [
    ("[environment.Cow-v1]\nn_envs = 3", "has 'environment' — did you mean 'environments'"),
    ("n_envs = 3", r"has 'n_envs' .*\(tables are \[families"),
    ("[environments]\nn_envs = 3", r"has n_envs = 3 outside a table: put it under \[environments"),
    ("families = 3", "has families = 3 outside a table"),
    ("[environments.Cow-v1\nn_envs = 3", r"is not valid TOML: .*line 1"),
])  # fmt: skip
def test_a_file_that_nobody_would_read_is_refused(text, said):
    with pytest.raises(UserError, match=rf"^rlzoo/hyperparams/ppo\.toml {said}") as caught:
        parsed("ppo", text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("group, name", [("families", "farm"), ("environments", "Cow-v1")])
@pytest.mark.parametrize("entry, given, said", [
    ({"n_env": 3}, {"gamma": 0.5}, "unknown hyperparameter 'n_env' of ppo — did you mean 'n_envs'"),
    ({"gamma": 2.0}, {"n_envs": 3}, "gamma = 2.0 of ppo is not valid"),
])  # fmt: skip
def test_what_is_wrong_in_a_file_is_not_blamed_on_the_user(group, name, entry, given, said, monkeypatch):
    monkeypatch.setattr(resolve_module, "published", lambda algorithm: {group: {name: entry}})
    with pytest.raises(UserError, match=rf"^rlzoo/hyperparams/ppo\.toml, \[{group}\.{name}\]: {said}"):
        resolved("Cow-v1", "farm", **given)
    with pytest.raises(UserError, match="^gamma = 3.0 of ppo is not valid" if "gamma" in entry else "^rlzoo"):
        resolved("Cow-v1", "farm", gamma=3.0)


@pytest.mark.parametrize(("given", "words"), [
    ({"learning_rat": 1}, ["learning_rat", "did you mean 'learning_rate'"]),
    ({"gae_lamda": 1}, ["did you mean 'gae_lambda'"]),
    ({"gamma": 1.5}, ["gamma = 1.5", "less than or equal to 1"]),
    ({"gamma": "high"}, ["gamma = 'high'", "number"]),
    ({"n_envs": 0}, ["n_envs = 0", "greater than or equal to 1"]),
    ({"steps": 10**12}, ["steps = 1000000000000", "less than or equal to 999999999999"]),
    ({"n_envs": 2.5}, ["n_envs = 2.5", "integer"]),
    ({"n_envs": None}, ["n_envs = None"]),
    ({"hidden": "64,x"}, ["hidden", "x"]),
    ({"hidden": [64, 0]}, ["hidden", "at least 1"]),
    ({"activation": "tahn"}, ["activation = 'tahn'", "did you mean 'tanh'"]),
    ({"initializer": "ortogonal"}, ["initializer = 'ortogonal'", "did you mean 'orthogonal'"]),
    ({"learning_rate": "linear(1e-3"}, ["learning_rate", "linear(start, end)"]),
    ({"learning_rate": "cosine(1, 0)"}, ["learning_rate", "linear(start, end)"]),
    ({"learning_rate": "linear(1, 0, 2)"}, ["learning_rate", "fraction"]),
    ({"learning_rate": "exponential(1e-3, 0)"}, ["learning_rate", "positive"]),
    ({"learning_rate": float("inf")}, ["learning_rate", "finite"]),
    ({"learning_rate": True}, ["learning_rate = True"]),
    ({"learning_rate": -1e-3}, ["learning_rate = -0.001", "at least 0"]),
    ({"clip_range": "linear(0.2, -0.1)"}, ["clip_range", "at least 0"]),
    ({"log_std_init": float("-inf")}, ["log_std_init = -inf", "finite"]),
    ({"n_steps": "1.5e0"}, ["n_steps = 1.5", "integer"]),
    ({"normalize_advantage": "perhaps"}, ["normalize_advantage = 'perhaps'", "boolean"]),
    ({"clip_range_value": -1}, ["clip_range_value = -1", "greater than 0"]),
    ({"clip_range_value": "linear(0, 1)"}, ["clip_range_value = 'linear(0, 1)'", "greater than 0"]),
])  # fmt: skip
def test_what_is_wrong_is_named_with_the_mend(given, words):
    with pytest.raises(UserError) as caught:
        resolved("CartPole-v1", None, **given)
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line


@pytest.mark.parametrize("text", ["64,32", "64, 32", "[64, 32]", "(64, 32)", "(64,32,)"])
def test_widths_as_text(text):
    assert resolved("CartPole-v1", None, hidden=text).config.hidden == (64, 32)


@pytest.mark.parametrize("width", [64, np.int64(64), np.float32(64)])
def test_one_width_as_a_number(width):
    assert resolved("CartPole-v1", None, hidden=width).config.hidden == (64,)


def test_other_values_as_text():
    c = resolved("CartPole-v1", None, hidden="7", gamma="0.5", n_steps="64", normalize_advantage="False",
                 target_kl="none", learning_rate="1e-3").config  # fmt: skip
    assert (c.hidden, c.gamma, c.n_steps, c.normalize_advantage, c.target_kl) == ((7,), 0.5, 64, False, None)
    assert c.learning_rate == Schedule(1e-3, 1e-3)
    assert resolved("CartPole-v1", None, hidden="").config.hidden == ()


@pytest.mark.parametrize("written", [
    3e-4, 0.1 + 0.2, 1 / 3, "linear(1e-3, 0)", "linear(1, 0.04, 0.16)", "linear(0.123456789012345, 1e-17)",
    "exponential(1e-2, 1.000000001e-5, 0.333333333333)", "linear(1, 2)", "linear(0.1)",
])  # fmt: skip
def test_schedules_come_back_from_json_as_they_were(written):
    kind = find("ppo").Config
    c = kind(learning_rate=written)
    again = kind(**json.loads(json.dumps(c.model_dump(mode="json"))))
    assert again == c and again.learning_rate == schedule(written)
    assert [again.learning_rate(x / 7) for x in range(9)] == [c.learning_rate(x / 7) for x in range(9)]


def test_scalars_are_the_schedules_now():
    c = find("ppo").Config(learning_rate="linear(1e-2, 0)", clip_range="linear(0.2, 0.1, 0.5)")
    now = dict(entropy_coefficient=0.0, value_coefficient=0.5)
    assert c.scalars(0.25) == pytest.approx(now | dict(learning_rate=7.5e-3, clip_range=0.15))
    assert c.scalars(2.0) == pytest.approx(now | dict(learning_rate=0.0, clip_range=0.1))
    dqn = find("dqn").Config(prioritized=True)
    assert dqn.exploration(0.05) == pytest.approx(0.525)
    assert set(dqn.scalars(0.05)) == {"learning_rate"}  # exploration, tau and β are read outside the update


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_config_is_frozen_and_comes_back_from_json(algorithm):
    kind = find(algorithm).Config
    c = kind()
    assert kind(**json.loads(json.dumps(c.model_dump(mode="json")))) == c
    with pytest.raises(ValueError):
        c.gamma = 0.5


def test_whole_numbers_may_be_written_with_an_exponent():
    found = resolved("Dog-v1", None, n_steps="1e3", steps="2.5e6").config
    assert (found.n_steps, found.steps) == (1000, 2_500_000)


class OwnConfig(find("dqn").Config):
    """Fields of more types."""

    critic_hidden: tuple[int, ...] | None = (64,)
    """Widths of something."""
    shares: tuple[float, ...] = ()
    """Shares of something."""
    most: Annotated[int, Field(ge=1)] | None = None
    """Most of something."""
    exploration_deviation: Scheduled = Schedule(0.5, 0.5)
    """A schedule of the update, though another algorithm reads one of this name outside."""


def test_text_is_read_by_the_type_of_a_field():
    c = validate("own", OwnConfig, dict(critic_hidden="400, 3e2", shares="[0.5,1e-1]", most="1e3", hidden=7))
    assert (c.critic_hidden, c.shares, c.most, c.hidden) == ((400, 300), (0.5, 0.1), 1000, (7,))
    assert all(type(each) is int for each in (*c.critic_hidden, c.most, *c.hidden))
    none = validate("own", OwnConfig, dict(critic_hidden="none", most="none", shares=""))
    assert (none.critic_hidden, none.most, none.shares) == (None, None, ())
    for wrong in ({"most": "1.5e0"}, {"most": "0e1"}, {"critic_hidden": "4,x"}, {"critic_hidden": "1.5e0"}):
        with pytest.raises(UserError, match=f"^{next(iter(wrong))} = "):
            validate("own", OwnConfig, wrong)


def test_what_is_read_outside_the_update_is_said_by_each_algorithm():
    assert OwnConfig().scalars(0.5).keys() == {"learning_rate", "exploration_deviation"}
    assert set(find("ddpg").Config().scalars(0.5)) == {"learning_rate"}


@pytest.mark.parametrize("algorithm, given, told", [
    ("ppo", dict(kl_target=0.02), "kl_target = 0.02 has no effect on ppo without objective = kl"),
    ("ppo", dict(objective="kl", clip_range=0.3), "clip_range = 0.3 .* without objective = clip"),
    ("dqn", dict(n_atoms="21"), "n_atoms = 21 .* on dqn without distributional"),
    ("qrdqn", dict(n_atoms="21"), "n_atoms = 21 has no effect on qrdqn$"),
    ("discrete_sac", dict(target_entropy=0.3, target_entropy_share=0.9), "_share = 0.9 .* target_entropy = none"),
    ("discrete_sac", dict(entropy_coefficient=0.3, target_entropy_share=0.9), "without entropy_coefficient = none"),
    ("sac", dict(entropy_coefficient=0.1, target_entropy=-3), "target_entropy = -3 .* entropy_coefficient = none"),
    ("a2c", dict(recurrent_units=8), "recurrent_units = 8 .* without recurrent"),
])  # fmt: skip
def test_what_has_no_effect_is_warned_of(algorithm, given, told):
    with pytest.warns(UserWarning, match=told):
        resolve(algorithm, find(algorithm).Config, "Dog-v1", None, given)


def test_what_has_no_effect_is_warned_of_where_an_agent_is_loaded(tmp_path):
    saved = find("dqn")("CartPole-v1", backend="numpy", hidden=(4,), buffer_size=10).save(tmp_path / "agent")
    with pytest.warns(UserWarning, match="priority_exponent = 0.9 has no effect on dqn without prioritized"):
        load(saved, backend="numpy", priority_exponent=0.9)


def test_a_warning_names_the_line_that_it_is_of(tmp_path):
    with pytest.warns(RlzooWarning, match="recurrent_units = 8 has no effect") as caught:
        agent = find("ppo")("CartPole-v1", backend="numpy", recurrent_units=8)
        line = inspect.currentframe().f_lineno - 1
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, line)]
    with pytest.warns(RlzooWarning) as caught:
        load(agent.save(tmp_path / "agent"), backend="numpy", recurrent_units=9)
    assert [each.filename for each in caught] == [__file__]


def test_what_has_an_effect_or_is_the_default_is_not_warned_of(recwarn):
    for algorithm in ALGORITHMS:
        kind = find(algorithm).Config
        resolve(algorithm, kind, "Dog-v1", None, kind().model_dump(mode="json"))  # as of another run
    ppo = find("ppo").Config
    resolve("ppo", ppo, "Dog-v1", None, dict(objective="kl", kl_target=0.02, recurrent="gru", recurrent_units=8))
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
@pytest.mark.parametrize("name, algorithm, base", [
    ("length", "ppo", "Config"), ("scalars", "dqn", "Config"), ("outside", "ppo", "Config"),
    ("returns", "rainbow", "DQNConfig"),
])  # fmt: skip
def test_a_field_that_hides_something_else_is_refused(name, algorithm, base):
    above, fields = find(algorithm).Config, {"__annotations__": {name: int}, name: 5, "__module__": __name__}
    with pytest.raises(UserError, match=f"^a field cannot be called '{name}' of Own, which {base} has .*: rename it$"):
        type(above)("Own", (above,), fields)


def test_shares_lie_within_0_and_1():
    kind = find("dqn").Config
    for given in ({"exploration": 5}, {"importance_exponent": "linear(0.4, 1.1)"}, {"tau": 2}):
        with pytest.raises(UserError, match="it must be between 0 and 1"):
            validate("dqn", kind, given)


@pytest.mark.parametrize("given", [{"v_max": float("inf")}, {"v_max": "inf"}, {"v_min": float("-inf")}])
def test_bounds_of_returns_are_finite(given):
    with pytest.raises(UserError, match=r"v_m.. = .*inf.* finite number"):
        validate("rainbow", find("rainbow").Config, given)


@pytest.mark.parametrize("given, n_steps", [
    ({"n_envs": 1}, 512), ({"n_envs": "4"}, 128), ({"n_envs": 4.0}, 128), ({"n_envs": 3}, 192), ({"n_envs": 16}, 32),
    ({"n_envs": 64}, 32),
    ({"n_envs": 1, "n_steps": 300}, 300),
])  # fmt: skip
def test_in_fewer_environments_than_published_a_rollout_is_as_large(given, n_steps):
    found = resolve("ppo", find("ppo").Config, "CartPole-v1", "classic_control", given)
    assert found.config.n_steps == n_steps
    assert ("n_envs, for a rollout" in found.sources["n_steps"]) == (n_steps not in (32, 300))


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "reinforce", "trpo"])
def test_published_settings_fit_an_environment_object(algorithm):
    for env in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"):
        agent = find(algorithm)(gym.make(env), backend="numpy")
        published = resolve(algorithm, type(agent).Config, env, "classic_control", {}).config
        assert agent.config.n_envs == 1 and agent.config.n_steps >= published.n_steps
    with pytest.raises(UserError, match="n_envs = 4 does not fit Pendulum-v1, which is 1"):
        find(algorithm)(gym.make("Pendulum-v1"), backend="numpy", n_envs=4)


def test_types_are_told_as_people_write_them():
    fields = find("sac").Config.model_fields
    assert type_name(fields["entropy_coefficient"].annotation) == "number or schedule or none"
    assert type_name(fields["hidden"].annotation) == "list of int"
