"""A replay that will not fit into memory is said to before it is filled."""

from __future__ import annotations

import os
import warnings

import gymnasium as gym
import numpy as np
import pytest
from environments import BitFlipping

from rlzoo import DQN
from rlzoo.training import capacity

IMAGE = 84 * 84 * 4
TAKEN = 1000 * (IMAGE + 5 * 4 + 8) + IMAGE  # an image, five numbers, a place for what else follows; and the newest


class Screens(gym.Env):
    """An image, on which nothing happens."""

    observation_space = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros((84, 84, 4), np.uint8), {}

    def step(self, action):
        return np.zeros((84, 84, 4), np.uint8), 0.0, False, False, {}


def agent_of(env=Screens, **settings):
    return DQN(env(), backend="jax", buffer_size=1000, batch_size=4, hidden=(4,), **settings)


def test_the_warning_has_the_figures_and_the_mend(monkeypatch):
    """Half of a thousand fit into half of what they take."""
    monkeypatch.setattr(capacity, "available", lambda: TAKEN // 2)
    agent = agent_of()
    with pytest.warns(UserWarning, match=r"buffer_size = 1,000 takes 0\.03 GB .* 0\.01 GB .* below 500$") as told:
        assert agent.replay.nbytes == TAKEN
        agent.learn(3)
    assert len(told) == 1, "once"


def test_with_hindsight_too(monkeypatch):
    monkeypatch.setattr(capacity, "available", lambda: 1000)
    with pytest.warns(UserWarning, match="buffer_size = 1,000 takes"):
        assert agent_of(lambda: BitFlipping(4), hindsight="future").replay is not None


@pytest.mark.parametrize("room", [TAKEN, None])
def test_nothing_is_said_where_it_fits_or_nothing_is_known(room, monkeypatch):
    monkeypatch.setattr(capacity, "available", lambda: room)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert agent_of().replay.nbytes == TAKEN


def test_what_is_available_is_what_the_system_says(tmp_path, monkeypatch):
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < capacity.available() <= pages
    monkeypatch.setattr(capacity, "MEMINFO", tmp_path / "meminfo")
    assert capacity.available() == pages, "where Linux does not say, all there is"
    capacity.MEMINFO.write_text("MemTotal:       16000 kB\nMemAvailable:    12345 kB\n")
    assert capacity.available() == 12345 * 1024
    capacity.MEMINFO.write_text("MemTotal:       16000 kB\n")
    assert capacity.available() == pages
    monkeypatch.delattr(os, "sysconf")
    assert capacity.available() is None
