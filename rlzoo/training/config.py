"""Hyperparameters: typed fields with their defaults and documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from rlzoo.errors import UserError, nearest
from rlzoo.nn.layers import ACTIVATIONS
from rlzoo.nn.schedules import Schedule, Scheduled
from rlzoo.policies.trunk import CELLS
from rlzoo.training.text import value_of, with_fields

VECTORIZATIONS = ("auto", "sync", "async", "native", "envpool")
PREPROCESSINGS = ("atari", "none")


def _not_0(value: int) -> int:
    if value == 0:
        raise ValueError("it must be a whole number of at least 1, or −1")
    return value


Kept = Annotated[int, Field(ge=-1), AfterValidator(_not_0)]  # steps that something is kept for; −1 for all there are


def one_of(value: Any, valid: Iterable[str]) -> Any:
    """A field's value that is one of these names, or None where the field may be; raises ValueError for any other."""
    names = tuple(valid)
    if value is not None and value not in names:
        raise ValueError(f"it must be one of {', '.join(names)}{nearest(value, names)}")
    return value


class Config(BaseModel):
    """What every algorithm has. A subclass adds its own fields; the text under a field is its only documentation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, arbitrary_types_allowed=True,
        allow_inf_nan=False,
    )

    outside: ClassVar[frozenset[str]] = frozenset()  # schedules that are read outside the compiled update
    at_first: ClassVar[frozenset[str]] = frozenset()  # what a new agent begins with, and a loaded one never reads
    sequenced: ClassVar[tuple[str, ...]] = ()  # fields that count steps which are cut into sequences
    only_with: ClassVar[dict[str, str]] = {  # fields that have a say where others are set, or have such a value
        "recurrent_units": "recurrent", "sequence_length": "recurrent",
    }  # fmt: skip

    steps: int = Field(1_000_000, ge=1, le=999_999_999_999)  # twelve digits, in the names of a run's checkpoints
    """Environment steps to train for, over all environments together."""
    n_envs: int = Field(1, ge=1, le=1_000_000)
    """Environments stepped side by side."""
    vectorization: str = "auto"
    """How they step: in turn (sync), in processes (async), as one (native), in C++ (envpool); auto: sync or native."""
    gamma: float = Field(0.99, ge=0.0, le=1.0)
    """Discount of the reward one step later."""
    learning_rate: Scheduled = Schedule(3e-4, 3e-4)
    """Adam's step size; a schedule such as linear(1e-3, 0) is allowed."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    activation: str = "tanh"
    """Function after each hidden layer: tanh, relu, sigmoid or softplus."""
    normalize_observation: bool = False
    """Shift and scale observations to zero mean and unit variance by running statistics, clipped at ±10."""
    normalize_reward: bool = False
    """Divide rewards by the running standard deviation of the discounted return, clipped at ±10."""
    preprocessing: str | None = None
    """What environments are seen through: atari, small grey images and the signs of rewards, or none."""
    frame_stack: int = Field(1, ge=1)
    """Observations that are seen as one, the newest last."""
    action_masks: bool = False
    """Choose only among actions allowed by info["action_mask"] or the environment's method action_masks()."""
    recurrent: str | None = None
    """Memory behind the encoder: lstm, gru or none."""
    recurrent_units: int = Field(64, ge=1)
    """Width of the memory."""
    sequence_length: int = Field(16, ge=1)
    """Steps that gradients flow back through the memory; unless given, lowered to divide a rollout and a batch."""
    checkpoint_every: int = Field(0, ge=0)
    """Environment steps between checkpoints, where episodes begin anew; 0: a tenth of all, at least a whole episode."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Raises UserError for a field that means something else in a config above: one of the two would be lost."""
        for base in (base for base in cls.__mro__[1:] if issubclass(base, Config)):
            for name in cls.model_fields.keys() & vars(base).keys():
                taken = f"{name!r} of {cls.__name__}, which {base.__name__} has as something else"
                raise UserError(f"a field cannot be called {taken}: rename it")
        cls.__doc__ = with_fields(vars(cls).get("__doc__"), cls)

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: Any, info: ValidationInfo) -> Any:
        return value_of(cls.model_fields[str(info.field_name)].annotation, value)

    @field_validator("hidden")
    @classmethod
    def _widths(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(width < 1 for width in value):
            raise ValueError("each width must be at least 1")
        return value

    @field_validator("activation")
    @classmethod
    def _activation(cls, value: str) -> str:
        return one_of(value, ACTIVATIONS)

    @field_validator("recurrent")
    @classmethod
    def _recurrent(cls, value: str | None) -> str | None:
        return one_of(value, (*CELLS, "none"))  # which, as text, was made None before

    @field_validator("preprocessing")
    @classmethod
    def _preprocessing(cls, value: str | None) -> str | None:
        return one_of(value, PREPROCESSINGS)

    @model_validator(mode="after")
    def _sequences(self) -> Self:
        """A default length of sequences gives way to what is cut into them; one that was given does not."""
        if self.recurrent is None:
            return self
        whole = math.gcd(*(getattr(self, name) for name in self.sequenced))
        fitting = next(n for n in range(default_of(type(self), "sequence_length"), 0, -1) if whole % n == 0)
        if "sequence_length" not in self.model_fields_set:
            self.__dict__["sequence_length"] = fitting
        for name in self.sequenced:
            if getattr(self, name) % self.sequence_length:
                told = f"{name} = {getattr(self, name)} is not a multiple of sequence_length = {self.sequence_length}"
                raise ValueError(f"{told}: set sequence_length = {fitting}, or another {name}")
        return self

    def idle(self, name: str) -> str | None:
        """The switch without which a field has no say, if it is off: "prioritized", or "objective = kl".

        "" for a field that never has a say; None for one that has.
        """
        found = (vars(base)["only_with"].get(name) for base in type(self).__mro__ if "only_with" in vars(base))
        switches = next((switches for switches in found if switches is not None), None)
        if switches is None:
            return None
        off = (switch for switch in switches.split(", ") if not switch or not self._is_on(switch))
        return next(off, None)

    def _is_on(self, switch: str) -> bool:
        field, equals, wanted = switch.partition(" = ")
        value = getattr(self, field)
        return value == value_of(type(self).model_fields[field].annotation, wanted) if equals else bool(value)

    @property
    def length(self) -> int:
        """Steps in a sequence that is learned from: 1 without memory."""
        return 1 if self.recurrent is None else self.sequence_length

    @field_validator("vectorization")
    @classmethod
    def _vectorization(cls, value: str) -> str:
        return one_of(value, VECTORIZATIONS)

    def scalars(self, progress: float) -> dict[str, float]:
        """The value at this progress (0 to 1) of every schedule that the update takes."""
        values = [(name, getattr(self, name)) for name in self._scheduled()]
        return {name: value(progress) for name, value in values if isinstance(value, Schedule)}

    @classmethod
    @cache
    def _scheduled(cls) -> tuple[str, ...]:
        """The fields that may hold a schedule, but for those that are none of the update's."""
        fields = [(name, field.annotation) for name, field in cls.model_fields.items() if name not in cls.outside]
        return tuple(name for name, annotation in fields if _is_schedule(annotation))


class CriticConfig(Config):
    """What every algorithm has whose critics are networks beside an actor."""

    critic_hidden: tuple[int, ...] | None = None
    """Widths of the critics' hidden layers; none is as `hidden`."""

    @field_validator("critic_hidden")
    @classmethod
    def _critic_widths(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        return value if value is None else cls._widths(value)

    @property
    def of_critics(self) -> tuple[int, ...]:
        """The widths that the critics' hidden layers have."""
        return self.hidden if self.critic_hidden is None else self.critic_hidden


def default_of(kind: type[Config], name: str) -> Any:
    """A field's value where nothing else is said, by the user or in what is published."""
    return kind.model_fields[name].default


def _is_schedule(annotation: Any) -> bool:
    """Whether a field of this annotation is a schedule, or may be one."""
    return annotation is Schedule or any(map(_is_schedule, get_args(annotation)))
