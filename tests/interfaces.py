"""What there is, beside what `rlzoo/core.py` says of it: the type checker holds the one to the other."""

from rlzoo import core
from rlzoo.backend import jax, mindspore, tensorflow, torch
from rlzoo.buffers import ReplayBuffer, RolloutBuffer
from rlzoo.policies import networks
from rlzoo.policies.values import QNetwork
from rlzoo.training.agent import Agent


def engines() -> tuple[core.Backend, ...]:
    return jax, torch, tensorflow, mindspore


def policies(*policies: networks.ActorCritic | networks.SquashedActorCritics | QNetwork) -> tuple[core.Policy, ...]:
    return policies


def buffers(*buffers: RolloutBuffer | ReplayBuffer) -> tuple[core.Buffer, ...]:
    return buffers


def agents(*agents: Agent) -> tuple[core.Agent, ...]:
    return agents
