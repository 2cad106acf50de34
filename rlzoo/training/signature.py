"""The hyperparameters by name, for `help(PPO)`, for a notebook's `PPO?` and for completion."""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from typing import Any


class _Published:
    """What a hyperparameter is that is not given: the environment decides."""

    def __repr__(self) -> str:
        return "<published>"


class NamedHyperparameters:
    """As `__signature__` of a class of agents: that of its `__init__`, with the fields of its Config for the `**`."""

    def __get__(self, agent: Any, kind: Any) -> Signature:
        found = signature(kind.__init__)
        given = [*found.parameters.values()][1:]  # without self
        if hasattr(kind, "Config") and given and given[-1].kind is Parameter.VAR_KEYWORD:
            names = (name for name in kind.Config.model_fields if name not in found.parameters)
            given[-1:] = [Parameter(name, Parameter.KEYWORD_ONLY, default=_Published()) for name in names]
        return found.replace(parameters=given)
