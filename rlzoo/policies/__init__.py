"""From spaces to networks: encoders, the trunk, heads, normalizers and the policies made of them."""

from rlzoo.policies.networks import (
    ActorCritic,
    DeterministicActorCritics,
    DiscreteActorCritics,
    SquashedActorCritics,
)
from rlzoo.policies.trunk import Features, Trunk
from rlzoo.policies.values import QNetwork

__all__ = [
    "ActorCritic", "DeterministicActorCritics", "DiscreteActorCritics", "Features", "QNetwork", "SquashedActorCritics",
    "Trunk",
]  # fmt: skip
