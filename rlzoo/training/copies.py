"""Pickled or copied, an agent is what its checkpoint would be, in memory."""

from __future__ import annotations

import copy
from typing import Any

from rlzoo.backend import Engine
from rlzoo.envs import name_of
from rlzoo.envs.make import copied as copied_environment
from rlzoo.errors import UserError
from rlzoo.training import checkpoint
from rlzoo.training.arrays import flat
from rlzoo.training.complaints import brief


def reduced(agent: Any) -> tuple[Any, ...]:
    """An agent for `pickle` and `copy`: as in a checkpoint with its replay, and its environment as it was given."""
    engine = agent.engine
    with agent.whole.lock:
        found, arrays = checkpoint.manifest(agent), agent.arrays(replay=engine.learns)
    return _revived, (type(agent), found, arrays, agent.env, engine.name, engine.device, engine.eager)


def copied(agent: Any, memo: dict[int, Any]) -> Any:
    """An agent that shares nothing with this one, for `copy.deepcopy`.

    Raises UserError where its environment cannot be copied, which is unharmed.
    """
    kind, found, arrays, env, *engine = reduced(agent)[1]
    try:
        env = copied_environment(env, memo)
    except Exception as error:
        mend = "save the agent, and load(path, env=…) puts it into another"
        raise UserError(f"{name_of(env)} cannot be copied ({brief(error)}): {mend}") from error
    return _revived(kind, *copy.deepcopy((found, arrays), memo), env, *engine)


def _revived(kind: Any, found: dict[str, Any], arrays: Any, env: Any, backend: str, device: str, eager: bool) -> Any:
    engine = Engine(backend, device, eager)
    return checkpoint.agent_of(found, flat(arrays), lambda name: kind, env, engine, trusted=True)
