"""Runs a recorded program on an engine: straight pieces compiled, folds as loops over a compiled step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from rlzoo.backend.recorder import Constant, Instruction, Node, Program, nodes_of, value_of


def run(program: Program, backend: Any, arrays: Sequence[Any]) -> list[Any]:
    """The outputs of `program` on arrays of an engine (its inputs, then its captures), by that engine's ops."""
    known = dict(zip(map(id, (*program.inputs, *program.captures)), arrays, strict=True))

    def look_up(argument: Any) -> Any:
        if isinstance(argument, Node):
            return known[id(argument)]
        if isinstance(argument, Constant):
            return argument.value
        if isinstance(argument, np.ndarray):
            return backend.asarray_like(argument, arrays[0])
        return tuple(look_up(item) for item in argument) if isinstance(argument, tuple) else argument

    for instruction in program.instructions:
        arguments = [look_up(argument) for argument in instruction.arguments]
        results: Any
        if instruction.op == "value_and_grad":
            results = _run_gradient(instruction, backend, arguments)
        elif instruction.op == "fold":
            results = _run_fold(instruction, backend, arguments)
        elif instruction.op == "constant":
            results = [backend.asarray_like(arguments[0], arrays[0])]
        elif instruction.op == "getitem":
            results = [arguments[0][arguments[1]]]
        else:
            results = getattr(backend, instruction.op)(*arguments)
            results = results if instruction.op in ("split", "adam") else [results]
        known.update(zip(map(id, instruction.outputs), results, strict=True))
    return [known[id(node)] for node in program.outputs]


def _run_gradient(instruction: Instruction, backend: Any, arguments: list[Any]) -> list[Any]:
    body = instruction.body
    assert body is not None
    n = len(body.inputs)

    def function(pieces: list[Any]) -> tuple[Any, list[Any]]:
        value, *auxiliary = run(body, backend, [*pieces, *arguments[n:]])
        return value, auxiliary

    value, auxiliary, gradients = backend.value_and_grad(function, arguments[:n])
    return [value, *auxiliary, *gradients]


def _run_fold(instruction: Instruction, backend: Any, arguments: list[Any]) -> list[Any]:
    """A fold inside a gradient or a fold: step after step, so that what traces it sees straight code."""
    body, n = instruction.body, len(arguments[0])
    assert body is not None

    def step(carry: list[Any], inputs: list[Any], constants: list[Any]) -> tuple[list[Any], list[Any]]:
        results = run(body, backend, [*carry, *inputs, *constants])
        return results[:n], results[n:]

    carry, outputs = backend.fold(step, *map(list, arguments))
    return [*carry, *outputs]


def segments(program: Program) -> Iterator[Program | Instruction]:
    """`program` cut at its folds: straight pieces (with the nodes they need as inputs) and the folds in turn."""
    pieces: list[list[Instruction] | Instruction] = [[]]
    for instruction in program.instructions:
        if instruction.op == "fold":
            pieces += [instruction, []]
        else:
            pieces[-1].append(instruction)  # type: ignore[union-attr]
    for position, piece in enumerate(pieces):
        if isinstance(piece, Instruction):
            yield piece
        elif piece:
            defined = {id(node): node for instruction in piece for node in instruction.outputs}
            later = [node for rest in pieces[position + 1 :] for node in _read(rest)] + program.outputs
            needed = {id(node): node for node in _read(piece) if id(node) not in defined}
            kept = {id(node): node for node in later if id(node) in defined}
            yield Program(None, list(needed.values()), [], piece, list(kept.values()))


def largest_product(program: Program) -> int:
    """Multiplications in the largest matrix product of a program, its gradients and folds included."""
    sizes = [0]
    for instruction in program.instructions:
        if instruction.body is not None:
            sizes.append(largest_product(instruction.body))
        if instruction.op in ("matmul", "linear"):
            sizes.append(instruction.outputs[0].value.size * value_of(instruction.arguments[0]).shape[-1])
        if instruction.op == "conv2d":
            sizes.append(instruction.outputs[0].value.size * math.prod(value_of(instruction.arguments[1]).shape[:3]))
    return max(sizes)


def _read(piece: Any) -> Iterator[Node]:
    for instruction in [piece] if isinstance(piece, Instruction) else piece:
        yield from nodes_of(instruction.arguments)


def stage(program: Program, jit: Callable[[Program], Callable], loop: Callable[[Instruction], Callable]) -> Callable:
    """A function from the leaves of a program's inputs to those of its outputs.

    `jit(piece)` compiles a straight program into a function of its inputs; `loop(instruction)` makes a fold into a
    function of (carry leaves, input leaves, constant leaves). Both return a sequence of arrays.
    """
    plan = []
    for piece in segments(program):
        if isinstance(piece, Instruction):
            reads, outputs, call = list(nodes_of(piece.arguments)), piece.outputs, loop(piece)
        else:
            reads, outputs, call = piece.inputs, piece.outputs, jit(piece)
        plan.append((call, [id(node) for node in reads], [id(node) for node in outputs]))
    inputs, results = [id(node) for node in program.inputs], [id(node) for node in program.outputs]

    def staged(leaves: Sequence[Any]) -> list[Any]:
        known = dict(zip(inputs, leaves, strict=True))
        for call, reads, outputs in plan:
            known.update(zip(outputs, call(*[known[i] for i in reads]), strict=True))
        return [known[i] for i in results]

    staged.program = program  # type: ignore[attr-defined]  # keeps the ids of its nodes taken
    return staged
