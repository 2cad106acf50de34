"""Environments in processes of their own: made so, brought to rest after an interrupted step, and said to be gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from queue import Empty
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from rlzoo.envs.outcomes import told_of_one
from rlzoo.errors import UserError

PATIENCE = 60.0  # seconds that a step under way has to come to its end
MEND = "make a new environment, and rlzoo.load(path, env=…) to go on in it from a saved agent"


def in_processes(spec: EnvSpec, make_one: Callable[[], gym.Env], n_envs: int, infos: bool) -> AsyncVectorEnv:
    """`n_envs` environments of a spec, each in a new Python process that ends with this one.

    They are reset in the step that ended an episode, and do what LeanSyncVectorEnv's would; without `infos`, they say
    no more than those do.

    The processes are spawned, for an engine may have threads here, which a fork would not survive. Raises UserError
    where one ended before its environment was made.
    """
    of_one = make_one if infos else partial(_terse, make_one)
    try:
        env = AsyncVectorEnv([of_one] * n_envs, context="spawn", worker=_work, autoreset_mode=AutoresetMode.SAME_STEP)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        mend = 'in a script, put what is to be done once under if __name__ == "__main__":, or set vectorization = sync'
        raise UserError(f"the process of an environment ended as it began, see what it printed: {mend}") from None
    env.spec = spec  # by which it is named
    return env


def _work(*arguments: Any) -> None:
    """In a process of its own: step an environment as it is told. Ctrl-C is left to the process that tells it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, OSError):  # once nobody is left to tell it
        _async_worker(*arguments)


class Terse(gym.Wrapper):
    """Says only what `outcomes` reads, of episodes that end; the rest would be sent from process to process."""

    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0], {}

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if not (terminated or truncated):
            return observation, reward, terminated, truncated, {}
        final = deepcopy(observation)  # some environments write the next episode's first over it
        return final, reward, terminated, truncated, told_of_one(info).get("final_info", {})


def _terse(make_one: Callable[[], gym.Env]) -> gym.Env:
    return Terse(make_one())


def settle(env: VectorEnv) -> None:
    """Have every process of an AsyncVectorEnv wait for a command, whatever was left half done; others stay as they are.

    Each is asked whether its spaces are these, and what it says before it answers that is dropped. Raises UserError
    where a process is gone, or does not answer.
    """
    inner: Any = env.unwrapped
    if not isinstance(inner, AsyncVectorEnv) or inner.closed:
        return
    space = inner.single_action_space  # the smaller one
    unanswered: list[int] = vars(inner).setdefault("_unanswered", [0] * inner.num_envs)  # kept: this may be cut short
    for i, pipe in enumerate(inner.parent_pipes):
        unanswered[i] += 1
        with suppress(AttributeError, OSError):  # of a process that is gone, which is found below
            pipe.send(("_check_spaces", ("same", space, space)))
    inner._state, end = AsyncState.DEFAULT, time.monotonic() + PATIENCE
    for i in range(inner.num_envs):
        fault = _fault_before_answers(inner, i, unanswered, end)
        if fault:
            raise UserError(f"the process of environment {i} {fault}: {MEND}")


def _fault_before_answers(env: AsyncVectorEnv, i: int, unanswered: list[int], end: float) -> str:
    """Read to the last answer of process i; what went wrong before it, or the empty string."""
    pipe, process = env.parent_pipes[i], env.processes[i]
    if pipe is None:
        return "raised an error"
    try:
        while unanswered[i]:
            if not pipe.poll(max(end - time.monotonic(), 0.0)):
                return f"has not come to the end of a step in {PATIENCE:.0f} seconds"
            said, went_well = pipe.recv()
            if not went_well:
                return f"raised {_error_of(env)}"
            unanswered[i] -= _is_answer(said)
    except (EOFError, OSError):
        process.join(1.0)
        return f"ended with exit code {process.exitcode}"
    return ""


def _is_answer(said: Any) -> bool:
    """Whether this is two truth values: a step says five things, a reset an observation and a dict."""
    return isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], bool | np.bool_)


def _error_of(env: AsyncVectorEnv) -> str:
    with suppress(Empty):
        _, kind, error, _ = env.error_queue.get(timeout=1.0)
        return f"{kind.__name__} ({error})"
    return "an error"
