"""From spaces to networks: encoders, heads, normalizers and the policies made of them."""

from rlzoo.policies.networks import ActorCritic, QNetwork, SquashedActorCritics

__all__ = ["ActorCritic", "QNetwork", "SquashedActorCritics"]
