"""An agent that nobody has any more is freed at once, with its environments and its replay buffer."""

from __future__ import annotations

import gc
import weakref

import pytest
from engines import require
from tiny_agents import make

from rlzoo.backend import ENGINES


@pytest.mark.parametrize("kind", ["dqn", "ppo"])
@pytest.mark.parametrize("engine_name", ENGINES)
def test_an_agent_that_is_dropped_is_freed_without_a_search_for_cycles(kind, engine_name):
    require(engine_name)
    make(kind, engine_name).learn(20)  # an engine's first import keeps what was on the way to it
    agent = make(kind, engine_name).learn(60)
    agent.evaluate(1)
    found = weakref.ref(agent)
    gc.disable()
    try:
        del agent
        assert found() is None
    finally:
        gc.enable()
