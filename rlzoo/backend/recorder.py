"""Records what a function does to arrays, as a straight-line program, while NumPy runs it.

Engines that cannot compile our Python (MindSpore parses source, torch needs a compiler) are handed this program
instead. Ordinary Python (classes, dicts, loops) disappears in the recording, and shapes come for free, since NumPy
really computes. Values inside gradients and folds are computed for their shapes only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rlzoo.backend import numpy as reference
from rlzoo.backend import ops, tree
from rlzoo.backend.operators import Operators
from rlzoo.errors import UserError

INDICES = int | np.integer | slice | type(None) | type(Ellipsis)


class Node(Operators):
    """A recorded array: NumPy's value of it and the program it is computed in."""

    __slots__ = ("program", "value")

    def __init__(self, program: Program, value: Any):
        self.program, self.value = program, np.asarray(value)

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    dtype = property(lambda self: self.value.dtype)

    def __getitem__(self, key):
        for part in key if isinstance(key, tuple) else (key,):
            if not isinstance(part, INDICES):
                raise UserError(f"[…] takes whole numbers and slices, not {part!r}: use ops.take")
        return emit("getitem", self, Constant(key), value=self.value[key])

    def __len__(self):
        return len(self.value)


@dataclass(frozen=True)
class Constant:
    """An argument that is not an array: an index, an axis, a shape."""

    value: Any


@dataclass(eq=False)
class Instruction:
    """One operation: its name, its arguments (nodes, constants, tuples of these) and the nodes it defines."""

    op: str
    arguments: tuple[Any, ...]
    outputs: list[Node]
    body: Program | None = None  # of value_and_grad and fold


@dataclass(eq=False)
class Program:
    """A straight-line function of arrays. `captures` are values of an enclosing program that it reads."""

    parent: Program | None = None
    inputs: list[Node] = field(default_factory=list)
    captures: list[Node] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    structure: Any = None  # of the tree the outputs make
    number: int = field(default_factory=itertools.count().__next__)  # of two programs, the later is the inner one
    noted: dict[Any, Instruction] = field(default_factory=dict)  # what was computed already, by op and arguments

    def input(self, value: Any) -> Node:
        self.inputs.append(Node(self, value))
        return self.inputs[-1]

    def read(self, node: Node) -> Node:
        """Make `node` readable here: its own, or captured from an enclosing program."""
        if node.program is not self and all(node is not capture for capture in self.captures):
            self.move_under(node.program)
            self.captures.append(node)
        return node

    def move_under(self, program: Program) -> None:
        """Have `program` among the ancestors: a gradient belongs where the innermost value it reads is known."""
        if program in self.ancestors():
            return
        if program.number > self.number:
            raise TypeError("an array of a loss cannot be read outside it: return it in the auxiliary tree")
        if self.parent is None:
            raise TypeError("a fold's step may read arrays from its arguments only: pass this one in `constants`")
        if self.parent in program.ancestors():
            self.parent = program
        else:
            self.parent.move_under(program)

    def ancestors(self) -> Iterator[Program]:
        program = self.parent
        while program is not None:
            yield program
            program = program.parent

    def output(self, value: Any) -> Node:
        """`value` as something this program returns: a node it can read, or a constant."""
        if isinstance(value, Node):
            return self.read(value)
        constant = Constant(reference.asarray_like(value))
        return self.emit("constant", (constant,), [constant.value])[0]

    def emit(self, op: str, arguments: tuple[Any, ...], values: Sequence[Any], body: Any = None) -> list[Node]:
        """Note an operation, and give the nodes it defines. All ops are pure: the same one twice is noted once."""
        key = (op, _identity(arguments))
        if body is None and key in self.noted:
            return self.noted[key].outputs
        for argument in nodes_of(arguments):
            self.read(argument)
        instruction = Instruction(op, arguments, [Node(self, value) for value in values], body)
        self.instructions.append(instruction)
        self.noted[key] = instruction
        return instruction.outputs


def nodes_of(arguments: Any) -> Iterator[Node]:
    """The nodes among arguments, those inside tuples too."""
    for argument in arguments:
        if isinstance(argument, Node):
            yield argument
        elif isinstance(argument, tuple | list):
            yield from nodes_of(argument)


def _identity(argument: Any) -> Any:
    """What tells arguments apart: nodes and arrays by which they are, all else by how it is written."""
    if isinstance(argument, tuple | list):
        return tuple(map(_identity, argument))
    held = argument.value if isinstance(argument, Constant) else argument
    return id(held) if isinstance(held, Node | np.ndarray) else repr(held)


def _innermost(arguments: Any) -> Program:
    return sorted((node.program for node in nodes_of(arguments)), key=lambda program: program.number)[-1]


def value_of(argument: Any) -> Any:
    """NumPy's value of an argument."""
    if isinstance(argument, Node | Constant):
        return argument.value
    return tuple(value_of(item) for item in argument) if isinstance(argument, tuple | list) else argument


def emit(op: str, *arguments: Any, value: Any) -> Node:
    """Note one operation in the innermost program among its arguments (so constants of a loss stay outside it)."""
    return _innermost(arguments).emit(op, arguments, [value])[0]


# ---- the ops: whatever the reference backend has, recorded as it runs ------------------------------------------------
def _recorded(name: str) -> Callable[..., Any]:
    run = getattr(reference, name)

    def op(*arguments: Any) -> Any:
        if name in ("add", "subtract", "multiply", "divide"):
            x, y = arguments
            arguments = tuple(reference.counted(name, x, y, _kind, _astype))
        return emit(name, *arguments, value=run(*(value_of(argument) for argument in arguments)))

    op.__name__ = name
    return op


def _kind(x: Any) -> str:
    return np.asarray(value_of(x)).dtype.kind


def _astype(x: Any, dtype: str) -> Any:
    return globals()["astype"](x, dtype) if isinstance(x, Node) else reference.astype(x, dtype)


RECORDED = (
    "add", "subtract", "multiply", "divide", "power", "minimum", "maximum", "where", "equal", "less", "greater",
    "not_equal", "less_equal", "greater_equal", "bitwise_invert", "bitwise_and", "bitwise_or",
    "abs", "negative", "exp", "log", "sqrt", "square", "tanh", "sigmoid", "softplus", "relu",
    "sum", "mean", "max", "argmax", "sort", "logsumexp", "log_softmax", "softmax", "reshape", "permute_dims",
    "expand_dims", "squeeze", "broadcast_to", "concat", "stack", "astype", "zeros_like", "stop_gradient", "matmul",
    "linear", "conv2d", "take", "one_hot",
)  # fmt: skip
for _name in RECORDED:
    globals()[_name] = _recorded(_name)


def split(x: Node, sizes: tuple[int, ...], axis: int) -> list[Node]:
    return x.program.emit("split", (x, Constant(sizes), Constant(axis)), reference.split(x.value, sizes, axis))


def lerp(*arguments: Any) -> Node:
    return emit("lerp", *arguments, value=ops.lerp(*map(value_of, arguments)))


def adam(*arguments: Any) -> list[Node]:
    return _innermost(arguments).emit("adam", arguments, ops.adam(*map(value_of, arguments)))


def asarray_like(value: Any, like: Node) -> Any:
    if isinstance(value, Node):
        return value
    value = reference.asarray_like(value)
    return emit("constant", Constant(value), like, value=value)


# ---- the verbs -------------------------------------------------------------------------------------------------------
def value_and_grad(function, arrays):
    body = Program(_innermost(arrays))
    pieces = [body.input(array.value) for array in arrays]
    value, auxiliary = function(pieces)
    leaves, structure = tree.flatten(auxiliary)
    body.outputs = [body.output(leaf) for leaf in (value, *leaves)]
    values = [node.value for node in body.outputs] + [np.zeros_like(piece.value) for piece in pieces]
    parent: Any = body.parent  # by now where the innermost value that the loss reads is known
    outputs = parent.emit("value_and_grad", (*arrays, *body.captures), values, body)
    n = 1 + len(leaves)
    return outputs[0], tree.unflatten(structure, outputs[1:n]), outputs[n:]


def fold(step, carry, inputs, constants):
    given = list(nodes_of(tree.flatten((carry, inputs, constants))[0]))
    parent = _innermost(given)
    like = next(node for node in given if node.program is parent)
    carry, inputs, constants = tree.map(lambda leaf: asarray_like(leaf, like), (carry, inputs, constants))
    carried, carry_structure = tree.flatten(carry)
    scanned, input_structure = tree.flatten(inputs)
    fixed, constant_structure = tree.flatten(constants)
    body = Program()
    new, output = step(
        tree.unflatten(carry_structure, [body.input(leaf.value) for leaf in carried]),
        tree.unflatten(input_structure, [body.input(leaf.value[0]) for leaf in scanned]),
        tree.unflatten(constant_structure, [body.input(leaf.value) for leaf in fixed]),
    )
    leaves, output_structure = tree.flatten(output)
    after = tree.flatten(new)[0]  # of the carry's structure, as `checks.step` has seen
    if [value_of(x).shape for x in after] != [x.shape for x in carried]:
        raise TypeError("a fold's step must return a carry of the shapes it was given")
    body.outputs = [body.output(leaf) for leaf in (*after, *leaves)]
    length = len(scanned[0])
    values = [leaf.value for leaf in carried] + [np.stack([value_of(leaf)] * length) for leaf in leaves]
    outputs = parent.emit("fold", (tuple(carried), tuple(scanned), tuple(fixed)), values, body)
    n = len(carried)
    return tree.unflatten(carry_structure, outputs[:n]), tree.unflatten(output_structure, outputs[n:])


def record(function: Callable[..., Any], arguments: Sequence[Any]) -> Program:
    """The program of `function(*arguments)`, whose arguments are trees of NumPy arrays: an input for each leaf."""
    program = Program()
    with np.errstate(all="ignore"):
        result = function(*(tree.map(program.input, argument) for argument in arguments))
    leaves, program.structure = tree.flatten(result)
    program.outputs = [program.output(leaf) for leaf in leaves]
    return program
