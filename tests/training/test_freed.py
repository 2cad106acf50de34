"""An agent that nobody has any more is freed at once, with its environments and its replay buffer."""

from __future__ import annotations

import gc
import subprocess
import sys
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


GROWTH = """
import ctypes, gc
from rlzoo import SAC

def resident():
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

for i in range(10):
    SAC("Pendulum-v1", backend="torch", hidden=(64, 64), batch_size=64, buffer_size=1000, learning_starts=8).learn(12)
    if i == 3:
        before = resident()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's count of resident pages")
def test_of_agents_that_were_dropped_torch_keeps_next_to_nothing():
    """Less than 1 MiB of each; TorchScript's own registry would keep five."""
    require("torch")
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=300)
    assert float(done.stdout.splitlines()[-1]) < 6.0, done.stderr[-2000:]
