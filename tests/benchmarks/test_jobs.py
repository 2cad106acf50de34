"""The bench's jobs: the same settings for rlzoo and its peers, and none that is published for the environment."""

import pytest

from benchmarks.jobs import ALL
from benchmarks.rlzoo_worker import agent_of
from rlzoo.algorithms import find

SCHEDULES = {"linear 1e-3": "linear(1e-3, 0)", "linear 0.2": "linear(0.2, 0)"}


@pytest.mark.parametrize("name", [name for name, job in ALL.items() if job.library])
def test_what_a_peer_is_told_is_what_rlzoo_learns_with(name):
    job = ALL[name]
    algorithm = find(job.algorithm)
    config = algorithm.Config(**job.rlzoo)
    for field, value in job.peer.items():
        if field in algorithm.Config.model_fields:
            told = algorithm.Config(**job.rlzoo | {field: SCHEDULES.get(value, value)})
            assert getattr(config, field) == getattr(told, field), field
    assert config.hidden == job.hidden
    assert config.n_envs == job.n_envs


@pytest.mark.parametrize("name", ALL)
def test_nothing_published_for_the_environment_is_in_a_job(name):
    job = ALL[name]
    if "HalfCheetah" in job.env:
        pytest.importorskip("mujoco")
    agent = agent_of(job, "numpy")
    assert agent.config == find(job.algorithm).Config(**job.rlzoo)
