"""The trunk of every network: from what an agent sees to features, with what it remembers and what it may do.

What is seen at a step is a tree of arrays `[N, ...]`. Mostly it is the environment's observation and nothing else. With
action masks it is `{"action_mask", "observation"}`. A recurrent trunk takes `{"observation", "memory", "first"}` around
that: the state of its cell before the step, zero where an episode begins, and 1 in `first` there. Buffers keep the tree
as it is, so what was remembered is at hand wherever a step is learned from.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rlzoo.backend import ops, tree
from rlzoo.errors import UserError
from rlzoo.nn import GRUCell, Layer, LSTMCell
from rlzoo.nn.recurrent import RecurrentCell
from rlzoo.policies.encoders import encoder_for
from rlzoo.policies.spaces import example, parts_of

Array = Any
Params = dict[str, Any]
CELLS: dict[str, type[RecurrentCell]] = {"lstm": LSTMCell, "gru": GRUCell}


class Features(NamedTuple):
    """What the networks behind the trunk are given."""

    values: Array  # `[N, F]`
    mask: Array | None = None  # `[N, choices]`, 1 where an action is allowed; None where all are
    memory: Any = None  # the cell's state after the step; None without one
    of_critic: Array | None = None  # `[N, F]`, what the critic is given where it has a memory of its own


class TwinCells(RecurrentCell):
    """The same kind of cell twice: `(x, (state, state))` to `(outputs side by side [N, 2 · units], (state, state))`."""

    cell: Any

    def init(self, rng: np.random.Generator, shape: Any) -> Params:
        return {"actor": self.cell.init(rng, shape), "critic": self.cell.init(rng, shape)}

    def initial_state(self, batch: int) -> Any:
        return self.cell.initial_state(batch), self.cell.initial_state(batch)

    def of_input(self, params: Params, x: Array) -> Any:
        return self.cell.of_input(params["actor"], x), self.cell.of_input(params["critic"], x)

    def step(self, params: Params, given: Any, state: Any) -> tuple[Array, Any]:
        value, after = self.cell.step(params["actor"], given[0], state[0])
        of_critic, critic_after = self.cell.step(params["critic"], given[1], state[1])
        return ops.concat([value, of_critic], -1), (after, critic_after)

    def output_shape(self, shape: Any) -> Any:
        return (2 * self.units,)


@dataclass(frozen=True)
class Trunk:
    """An encoder of the space and, if recurrent, a cell behind it, learned through sequences of `length` steps.

    `masked` says that the space is a Dict of "action_mask" and "observation". With `twins`, actor and critic remember
    each for itself, so that the larger of their losses does not rule what both remember. Raises UserError for an
    encoder that takes noise, which no trunk is given, and for one that gives no features.
    """

    space: spaces.Space
    encoder: Layer
    cell: Any = None
    length: int = 1
    masked: bool = False

    def __post_init__(self) -> None:
        shape = self._seen.shape or ()
        try:
            noise, features = self.encoder.noise(np.random.default_rng(0), shape, 1), self.encoder.output_shape(shape)
        except (LookupError, TypeError) as error:
            if parts_of(self._seen) is None:
                raise
            mend = "give the layer that takes them a method output_shape(shape), the shape of its features"
            raise UserError(f"an encoder of the parts of {self._seen} cannot be tried on an array: {mend}") from error
        if noise is not None:
            raise UserError(
                "the encoder has layers that take noise (Dropout, NoisyDense), and a trunk is given none: "
                "leave them out, or put them into a network behind the trunk whose noise is drawn"
            )
        if features == (0,):  # of which MindSpore's products are anything
            raise UserError(f"no network reads observations of {self._seen}: it is empty; give at least a constant")

    @classmethod
    def of(cls, space: spaces.Space, recurrent: str | None = None, units: int = 64, length: int = 1,
           masked: bool = False, twins: bool = False, encoder: Layer | None = None) -> Trunk:  # fmt: skip
        """The trunk of a space; without an `encoder`, with the one for what the space is apart from masks."""
        if encoder is None:
            encoder = encoder_for(space["observation"] if masked else space)  # type: ignore[index]
        cell: Any = None if recurrent is None else CELLS[recurrent](units)
        if cell is not None and twins:
            cell = TwinCells(units, cell)
        return cls(space, encoder, cell, length if cell is not None else 1, masked)

    @property
    def _seen(self) -> Any:
        return self.space["observation"] if self.masked else self.space  # type: ignore[index]

    @property
    def size(self) -> int:
        """Features of one step."""
        return self.cell.units if self.cell is not None else self.encoder.output_shape(self._seen.shape or ())[0]

    def init(self, rng: np.random.Generator) -> Params:
        shape = self._seen.shape or ()
        encoder = self.encoder.init(rng, shape)
        if self.cell is None:
            return encoder
        return {"encoder": encoder, "cell": self.cell.init(rng, self.encoder.output_shape(shape))}

    def example(self, normalized: bool = False, raw: bool = False) -> Any:
        """What is seen at one step, as zeros of the types it is stored in."""
        observation = example(self.space, normalized, raw)
        if self.cell is None:
            return observation
        memory = tree.map(lambda state: state[0], self.cell.initial_state(1))
        return {"observation": observation, "memory": memory, "first": np.zeros((), np.float32)}

    def mask(self, seen: Any) -> Array | None:
        """What is allowed, `[N, choices]`; None where all is."""
        if not self.masked:
            return None
        return (seen if self.cell is None else seen["observation"])["action_mask"]

    def __call__(self, params: Params, seen: Any, through_time: bool = False) -> Features:
        """Features of N steps, each from what was remembered before it.

        `through_time` takes them as sequences, `[length · B]` with the steps of one time side by side: memory is what
        it was before the first, then what this makes of it, zero again where an episode begins. So gradients flow
        through the steps of a sequence.
        """
        observation, mask = seen if self.cell is None else seen["observation"], self.mask(seen)
        if self.masked:
            observation = observation["observation"]
        if self.cell is None:
            return Features(self.encoder(params, observation), mask)
        x = self.encoder(params["encoder"], observation)
        if not through_time or self.length == 1:
            values, memory = self.cell(params["cell"], x, seen["memory"])
            return self._features(values, mask, memory)
        return self._through_time(params["cell"], x, seen, mask)

    def _through_time(self, params: Params, x: Array, seen: Any, mask: Array | None) -> Features:
        if x.shape[0] % self.length:
            raise UserError(f"{x.shape[0]} steps are not sequences of {self.length}: sequence_length must divide them")
        n = x.shape[0] // self.length

        def by_time(part: Array) -> Array:
            return ops.reshape(part, (self.length, n, *part.shape[1:]))

        def step(memory: Any, inputs: Any, params: Params) -> tuple[Any, Array]:
            given, going_on = inputs
            values, memory = self.cell.step(params, given, tree.map(partial(operator.mul, going_on), memory))
            return memory, values

        given = self.cell.of_input(params, x), 1.0 - ops.expand_dims(seen["first"], -1)
        first = tree.map(lambda state: by_time(state)[0], seen["memory"])
        memory, values = ops.fold(step, first, tree.map(by_time, given), params)
        values = ops.reshape(values, (x.shape[0], values.shape[-1]))
        return self._features(values, mask, memory)

    def _features(self, values: Array, mask: Array | None, memory: Any) -> Features:
        if not isinstance(self.cell, TwinCells):
            return Features(values, mask, memory)
        of_actor, of_critic = ops.split(values, [self.size] * 2, -1)
        return Features(of_actor, mask, memory, of_critic)
