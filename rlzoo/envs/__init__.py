"""The environment side, on Gymnasium alone: make, step, tell the family."""

from rlzoo.envs.make import form_of, insides, make, make_separate
from rlzoo.envs.names import family_of, is_harmless, limit_of, name_of, spec_of
from rlzoo.envs.outcomes import Outcome
from rlzoo.envs.vector import Stepper, Transition, firsts

__all__ = [
    "Outcome", "Stepper", "Transition", "family_of", "firsts", "form_of", "insides", "is_harmless", "limit_of", "make",
    "make_separate", "name_of", "spec_of",
]  # fmt: skip
