"""Environments in processes of their own: what an interrupted step leaves under way, and processes that are gone."""

from __future__ import annotations

import time
from contextlib import suppress
from queue import Empty
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, VectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from rlzoo.errors import UserError

PATIENCE = 60.0  # seconds that a step under way has to come to its end
MEND = "make a new environment, and rlzoo.load(path, env=…) to go on in it from a saved agent"


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
