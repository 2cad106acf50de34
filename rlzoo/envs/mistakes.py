"""Mistakes in environments of one's own, found before they are stepped and told in one line."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

from rlzoo.errors import UserError


def check_entry_point(env: str, spec: EnvSpec) -> None:
    """Raises UserError if what an id was registered with is not there, and ImportError if its module is not."""
    if isinstance(spec.entry_point, str):
        try:
            load_env_creator(spec.entry_point)
        except (AttributeError, ValueError) as error:
            mend = "register it as module:Class"
            raise UserError(f"environment {env!r}: no entry point {spec.entry_point!r} ({error}): {mend}") from None


def check_reset(env: Any) -> None:
    """Raises UserError if an environment cannot be reset with a seed, as in versions of Gym before Gymnasium."""
    try:
        inspect.signature(env.unwrapped.reset).bind(seed=None, options=None)
    except TypeError as error:
        mend = "write def reset(self, *, seed=None, options=None), which returns an observation and a dict"
        raise UserError(f"environment {env.unwrapped}: its reset {error}: {mend}") from None
    except ValueError:
        pass  # it is not written in Python, and does not say what it takes


def check_spaces(env: Any) -> None:
    """Raises UserError if an environment does not say what is observed or done in it."""
    for kind in ("observation_space", "action_space"):
        found = getattr(env, kind, None)
        if not isinstance(found, gym.Space):
            mend = f"set self.{kind} in its __init__ to one of gymnasium.spaces"
            raise UserError(f"environment {env.unwrapped}: its {kind} is {found!r}, which is no space: {mend}")
