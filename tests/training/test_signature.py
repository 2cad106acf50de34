"""`PPO?`, `help` and completion name an agent's hyperparameters, and its Config explains each."""

from __future__ import annotations

import inspect

import pytest
from pydantic import Field

from rlzoo import PPO
from rlzoo.algorithms import ALGORITHMS, find
from rlzoo.algorithms.ppo import PPOConfig


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_hyperparameter_is_in_the_signature_and_explained(algorithm):
    kind = find(algorithm)
    names = [*inspect.signature(kind).parameters]
    assert names == ["env", "backend", "device", "seed", "eager", *kind.Config.model_fields]
    for name, field in kind.Config.model_fields.items():
        assert f"\n{name} (" in kind.Config.__doc__ and field.description in kind.Config.__doc__


class OwnConfig(PPOConfig):
    """The hyperparameters of Own."""

    bonus: float | None = Field(0.1, ge=0.0)
    """How large the bonus is."""


class Own(PPO):
    """Has a hyperparameter more, and an `__init__` of its own."""

    Config = OwnConfig

    def __init__(self, env, hidden=(8,), **options):
        super().__init__(env, hidden=hidden, **options)


class Closed(Own):
    def __init__(self, env):
        super().__init__(env)


def test_so_are_those_of_a_class_of_ones_own():
    given = inspect.signature(Own).parameters
    assert [*given][:2] == ["env", "hidden"] and given["hidden"].default == (8,)
    assert {"bonus", "n_steps"} < given.keys() and str(given["bonus"]) == "bonus=<published>"
    assert OwnConfig.__doc__.startswith("The hyperparameters of Own.\n\nsteps (int): Environment steps")
    assert OwnConfig.__doc__.endswith("\nbonus (float or none): How large the bonus is.")
    assert [*inspect.signature(Closed).parameters] == ["env"]
