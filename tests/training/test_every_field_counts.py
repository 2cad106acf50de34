"""No hyperparameter is dead: each makes another agent, or has it learn something else."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from engines import require
from tiny_agents import BITS, BITS_BY_NUMBERS, PARTS

from rlzoo import UserError
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.training.off_policy import OffPolicyAgent

require("torch")

TESTS = Path(__file__).parents[1]
BY_NUMBERS = ("sac", "tqc", "td3", "ddpg")  # that act in a Box only
COMMON = dict(backend="torch", eager=True, seed=1, n_envs=2, hidden=(4,), learning_rate=0.03)
ON = COMMON | dict(steps=32, n_steps=8, batch_size=8, n_epochs=2, n_critic_epochs=2, cg_steps=3, line_search_steps=5)
OFF = COMMON | dict(steps=20, train_freq=2, gradient_steps=2, batch_size=4, buffer_size=64, learning_starts=8, tau=0.3,
                    target_update_interval=0, n_quantiles=4, n_atoms=5)  # fmt: skip
GRU, SDE, KL, C51, BY_PRIORITY = (
    dict(recurrent="gru", sequence_length=2), dict(sde=True), dict(objective="kl"), dict(distributional=True),
    dict(prioritized=True),
)  # fmt: skip
SHORTENED = dict(env="box", seed=3, target_kl=0.5, initializer="he")  # the first step that is tried goes too far
FAR_APART = dict(target_update_interval=1000, learning_rate=0.1, gradient_steps=6)  # the online network and its target
SWITCHES = {"recurrent", "sde", "objective", "distributional", "prioritized", "hindsight"}
GOALS, IN_BOX = dict(env="goals", hindsight="future"), dict(env="box")
OTHER = {  # field → another value, and settings without which it has no say; a bool is turned round
    "steps": (16, {}), "n_envs": (4, {}), "gamma": (0.5, {}), "learning_rate": (0.01, {}), "hidden": ((5,), {}),
    "activation": ("softplus", {}), "normalize_observation": (None, {}), "normalize_reward": (None, {}),
    "frame_stack": (2, {}), "action_masks": (None, {}), "recurrent": ("gru", dict(sequence_length=2)),
    "recurrent_units": (3, GRU), "sequence_length": (4, GRU), "checkpoint_every": (8, {}),
    # on policy
    "n_steps": (12, {}), "overlap": (None, {}), "gae_lambda": (0.5, {}), "normalize_advantage": (None, {}),
    "initializer": ("he", {}), "log_std_init": (-1.0, IN_BOX), "sde": (None, IN_BOX),
    "sde_sample_freq": (1, SDE | IN_BOX), "batch_size": (12, {}), "n_epochs": (3, {}), "objective": ("kl", {}),
    "clip_range": (1e-3, {}), "clip_range_value": (1e-3, {}), "entropy_coefficient": (0.3, {}),
    "value_coefficient": (0.1, {}), "max_grad_norm": (0.07, {}), "target_kl": (1e-6, {}), "kl_target": (9.0, KL),
    "kl_coefficient": (9.0, KL), "rmsprop": (None, {}), "cg_steps": (1, {}), "cg_damping": (2.0, {}),
    "line_search_steps": (1, SHORTENED), "line_search_shrink": (0.3, SHORTENED), "n_critic_epochs": (3, {}),
    # off policy
    "buffer_size": (32, {}), "learning_starts": (12, {}), "train_freq": (3, {}), "gradient_steps": (1, {}),
    "tau": (0.8, {}), "target_update_interval": (8, {}), "n_step": (2, {}), "prioritized": (None, {}),
    "priority_exponent": (0.9, BY_PRIORITY), "importance_exponent": (1.0, BY_PRIORITY), "hindsight": ("final", GOALS),
    "hindsight_share": (0.3, GOALS),
    # values of actions
    "exploration": (0.7, {}), "double": (None, FAR_APART), "dueling": (None, {}),
    "noisy": (None, {}), "distributional": (None, {}), "n_atoms": (7, C51), "v_min": (-3.0, C51), "v_max": (3.0, C51),
    "risk": (0.4, C51), "adam_epsilon": (0.01, {}), "n_quantiles": (6, {}),
    # actors and critics
    "critic_hidden": ((5,), {}), "n_critics": (3, {}), "initial_entropy_coefficient": (0.3, {}),
    "target_entropy": (0.7, {}),
    "target_entropy_share": (0.9, {}), "dropped_quantiles": (1, {}), "policy_delay": (3, {}), "target_noise": (0.4, {}),
    "target_noise_clip": (0.01, dict(target_noise=0.3)), "exploration_deviation": (0.6, {}),
}  # fmt: skip
DIFFERENT = {  # where an algorithm wants something else
    ("sac", "log_std_init"): (-1.0, SDE), ("tqc", "log_std_init"): (-1.0, SDE),
    ("tqc", "risk"): (0.4, {}), ("qrdqn", "risk"): (0.4, {}), ("trpo", "target_kl"): (1e-4, {}),
    ("td3", "exploration_noise"): ("ornstein_uhlenbeck", {}), ("ddpg", "exploration_noise"): ("gaussian", {}),
}  # fmt: skip
ELSEWHERE = {  # what learning shall not depend on, or needs a game for, and where it is tested
    "vectorization": "envs/test_native.py", "preprocessing": "envs/test_atari.py",
}  # fmt: skip
REFUSED = ("overlap", "sde", "distributional", "action_masks")  # by name, where an algorithm cannot do it
MEANINGLESS = {  # (algorithm, field) that it has from another, whose switch it refuses, or of which one value is valid
    ("discrete_sac", "sde_sample_freq"): "sde", ("discrete_sac", "log_std_init"): "sde",
    ("qrdqn", "n_atoms"): "distributional", ("qrdqn", "v_min"): "distributional", ("qrdqn", "v_max"): "distributional",
    ("reinforce", "gae_lambda"): "gae_lambda",
}  # fmt: skip


def is_off_policy(name):
    return issubclass(find(name), OffPolicyAgent)


def environment(name, kind):
    by_numbers = name in BY_NUMBERS or (kind == "box" and not is_off_policy(name))
    if kind == "goals":
        return BITS_BY_NUMBERS if by_numbers else BITS
    return f"{PARTS},is_dict=false,continuous={str(by_numbers).lower()}"


def agent_of(name, **settings):
    """An agent with what it knows of these settings."""
    settings = (OFF if is_off_policy(name) else ON) | settings
    env = environment(name, settings.pop("env", None))
    known = find(name).Config.model_fields.keys() | {"backend", "eager", "seed"}
    return find(name)(env, **{key: value for key, value in settings.items() if key in known})


def asked(name, field):
    return DIFFERENT.get((name, field)) or OTHER.get(field)


def made(agent):
    """What it acts by, learns by and keeps."""
    agent.rollout  # noqa: B018
    parts = [repr(agent.policy), repr(agent.optimizer), agent.flat.tobytes(), agent.rollout.reward.shape]
    if isinstance(agent, OffPolicyAgent):
        replay = agent.replay
        names = ("capacity", "n_envs", "gamma", "n_step", "length", "strategy", "share")
        parts += [type(replay), *(getattr(replay, name, None) for name in names)]
        parts.append(getattr(replay.priorities, "alpha", None))
    return parts


def is_heard(name, field):
    """Whether another value of a field makes another agent, or has it learn something else, or is refused by name."""
    value, context = asked(name, field)
    one, learned = usual(name, tuple(context.items()))
    if value is None:
        value = not getattr(one.config, field)
    assert getattr(one.config, field) != value
    try:
        other = agent_of(name, **context | {field: value})
    except UserError as error:
        assert field in REFUSED and field in str(error), f"{name}, {field} = {value}: {error}"
        return True
    return made(one) != made(other) or not np.array_equal(learned(), other.learn().flat)


@cache
def usual(name, context):
    """An agent with these settings, not to be trained, and a function that gives what one like it has learned."""

    @cache
    def learned():
        return agent_of(name, **dict(context)).learn().flat

    return agent_of(name, **dict(context)), learned


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_field_has_a_say(name):
    fields = [field for field in find(name).Config.model_fields if field not in ELSEWHERE]
    fields = [field for field in fields if (name, field) not in MEANINGLESS]
    unknown = [field for field in fields if not asked(name, field)]
    assert not unknown, f"say in OTHER what else {', '.join(unknown)} of {name} may be"
    dead = [field for field in fields if not is_heard(name, field)]
    assert not dead, f"{name} does not care about {', '.join(dead)}"


@pytest.mark.parametrize("name, field", MEANINGLESS)
def test_what_has_no_say_belongs_to_what_is_refused(name, field):
    switch = MEANINGLESS[name, field]
    with pytest.raises(UserError, match=switch):
        agent_of(name, **{switch: 0.9 if switch == "gae_lambda" else True})


@pytest.mark.parametrize("field", ELSEWHERE)
def test_what_is_not_asked_about_here_is_tested_elsewhere(field):
    assert f"{field}=" in (TESTS / ELSEWHERE[field]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_said_to_have_no_effect_has_none(name):
    """Fields without their switch: giving one is warned of, and makes and learns the very same."""
    kind = find(name).Config
    one, learned = usual(name, ())
    idle = {field: one.config.idle(field) for field in kind.model_fields}
    for field, switch in idle.items():
        if switch is None:
            continue
        value = DIFFERENT.get((name, field), OTHER[field])[0]
        told = f"has no effect on {name}" + (f" without {switch}$" if switch else "$")
        with pytest.warns(UserWarning, match=f"{field} = .* {told}"):
            other = agent_of(name, **{field: value})
        assert made(one) == made(other), field
        np.testing.assert_array_equal(learned(), other.learn().flat, err_msg=field)
    needing = {field for field in idle if asked(name, field) and set(asked(name, field)[1]) & SWITCHES}
    said = {field for base in kind.__mro__ for field in vars(base).get("only_with", ())}
    assert needing - SWITCHES - {"risk"} <= said
