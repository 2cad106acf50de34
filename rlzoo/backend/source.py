"""Writes a recorded program out as flat Python source: what MindSpore, which compiles source from files, is given."""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from rlzoo.backend.numpy import asarray_like
from rlzoo.backend.recorder import Constant, Instruction, Node, Program

_NUMBER = itertools.count()
OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<", "greater": ">"}


class Module:
    """A module's source as it grows: functions from programs, constants beside them.

    `backend.OP(...)` in the text are calls of the engine's own ops. `value_and_grad` of a body becomes a call of what
    `backend.gradient(body_K, positions)` makes of the function `body_K`; a fold becomes a `while` around its step, or
    step after step where it is part of another body, for what differentiates a `while` takes twice as long.
    """

    def __init__(self, backend: str):
        self.text = f"import {backend} as backend\n"
        self.constants: dict[str, np.ndarray] = {}
        self.functions = self.depth = 0

    def function(self, program: Program, with_auxiliary: bool = False) -> str:
        """Write `program` as a function of its inputs and captures that returns a tuple; its name.

        `with_auxiliary` makes a lone output two, since MindSpore's gradient with auxiliary values wants one at least.
        """
        name = f"body_{self.functions}"
        self.functions += 1
        writer = _Writer(self)
        parameters = [writer.define(node, f"x{i}") for i, node in enumerate((*program.inputs, *program.captures))]
        self.depth += 1
        for instruction in program.instructions:
            writer.write(instruction)
        self.depth -= 1
        outputs = program.outputs * 2 if with_auxiliary and len(program.outputs) == 1 else program.outputs
        results = ", ".join(writer.expression(node) for node in outputs)
        lines = "".join(f"    {line}\n" for line in writer.lines)
        self.text += f"\n\ndef {name}({', '.join(parameters)}):\n{lines}    return ({results},)\n"
        return name

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = asarray_like(value)
        return name

    def load(self, asarray: Callable[[np.ndarray], Any]) -> ModuleType:
        """The module, imported from a file of a folder that goes with the process; constants as the engine's arrays."""
        name = f"rlzoo_generated_{next(_NUMBER)}"
        path = os.path.join(folder(), name + ".py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.text)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[name] = loaded
        for constant, value in self.constants.items():
            setattr(loaded, constant, asarray(value))
        spec.loader.exec_module(loaded)
        return loaded


@cache
def folder() -> str:
    folder = tempfile.mkdtemp(prefix="rlzoo-generated-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class _Writer:
    """The lines of one function."""

    def __init__(self, module: Module):
        self.module, self.lines, self.names = module, [], {}  # type: ignore[var-annotated]

    def define(self, node: Node, name: str) -> str:
        self.names[id(node)] = name
        return name

    def expression(self, argument: Any) -> str:
        if isinstance(argument, Node):
            return self.names[id(argument)]
        if isinstance(argument, Constant):
            return repr(argument.value)
        if isinstance(argument, np.ndarray):
            return self.module.constant(argument)
        if isinstance(argument, np.generic):
            argument = argument.item()
        if isinstance(argument, float) and not math.isfinite(argument):
            return self.module.constant(argument)  # which has no literal
        if isinstance(argument, tuple | list):
            return f"({''.join(self.expression(item) + ', ' for item in argument)})"
        return repr(argument)

    def write(self, instruction: Instruction) -> None:
        base = len(self.names)
        names = [self.define(node, f"t{base + i}") for i, node in enumerate(instruction.outputs)]
        if instruction.op == "value_and_grad":
            self._write_gradient(instruction, names)
        elif instruction.op == "fold":
            self._write_fold(instruction, names)
        else:
            self.lines.append(f"{', '.join(names)} = {self._right_hand_side(instruction)}")

    def _right_hand_side(self, instruction: Instruction) -> str:
        op = instruction.op
        if op == "constant":
            return self.module.constant(instruction.arguments[0].value)
        arguments = [self.expression(argument) for argument in instruction.arguments]
        if op in OPERATORS:
            return f"{arguments[0]} {OPERATORS[op]} {arguments[1]}"
        if op == "getitem":
            return f"{arguments[0]}[{_index(instruction.arguments[1].value)}]"
        if op == "split":  # which MindSpore has in Python, a loop that takes long to compile
            keys = _pieces(*(argument.value for argument in instruction.arguments))
            return ", ".join(f"{arguments[0]}[{_index(key)}]" for key in keys)
        return f"backend.{op}({', '.join(arguments)})"

    def _write_gradient(self, instruction: Instruction, names: list[str]) -> None:
        body = instruction.body
        assert body is not None
        function, count = self.module.function(body, with_auxiliary=True), len(body.inputs)
        self.module.text += f"\n\ngradient_of_{function} = backend.gradient({function}, {tuple(range(count))})\n"
        arguments = ", ".join(self.expression(argument) for argument in instruction.arguments)
        self.lines.append(f"values, pieces = gradient_of_{function}({arguments})")
        if count == 1:
            self.lines.append("pieces = (pieces,)")  # MindSpore gives the gradient of one argument bare
        n = len(body.outputs)
        self.lines += [f"{name} = values[{i}]" for i, name in enumerate(names[:n])]
        self.lines += [f"{name} = pieces[{i}]" for i, name in enumerate(names[n:])]

    def _write_fold(self, instruction: Instruction, names: list[str]) -> None:
        carried, scanned, fixed = instruction.arguments
        assert instruction.body is not None
        function, n = self.module.function(instruction.body), len(carried)
        length, counter = len(scanned[0].value), f"i_{names[0]}"
        if self.module.depth > 1:
            return self._write_steps(instruction, names, function)
        if length == 1:  # its loop would be control flow for nothing
            slices = [f"backend.reshape({self.expression(leaf)}, {leaf.value.shape[1:]})" for leaf in scanned]
            arguments = ", ".join([*map(self.expression, carried), *slices, *map(self.expression, fixed)])
            self.lines.append(f"results = {function}({arguments})")
            self.lines += [f"{name} = results[{i}]" for i, name in enumerate(names[:n])]
            self.lines += [f"{name} = backend.expand_dims(results[{i + n}], 0)" for i, name in enumerate(names[n:])]
            return
        for name, start in zip(names[:n], carried, strict=True):
            self.lines.append(f"{name} = {self.expression(start)}")
        for name, node in zip(names[n:], instruction.outputs[n:], strict=True):
            self.lines.append(f"{name} = {self.module.constant(np.zeros_like(node.value))}")
        steps = self.module.constant(np.arange(length, dtype=np.int32))
        slices = [f"backend.take({self.expression(leaf)}, {counter}, 0)" for leaf in scanned]
        arguments = ", ".join([*names[:n], *slices, *(self.expression(leaf) for leaf in fixed)])
        self.lines += [
            f"{counter} = {self.module.constant(np.int32(0))}",
            f"while {counter} < {length}:",
            f"    results = {function}({arguments})",
            *(f"    {name} = results[{i}]" for i, name in enumerate(names[:n])),
            *(
                f"    {name} = backend.place({name}, results[{i + n}], {steps}, {counter})"
                for i, name in enumerate(names[n:])
            ),
            f"    {counter} = {counter} + 1",
        ]

    def _write_steps(self, instruction: Instruction, names: list[str], function: str) -> None:
        """A fold without a loop."""
        carried, scanned, fixed = instruction.arguments
        n, carry, constants = len(carried), [*map(self.expression, carried)], [*map(self.expression, fixed)]
        columns = [f"{names[0]}_of_{self.expression(leaf)}" for leaf in scanned]
        for column, leaf in zip(columns, scanned, strict=True):
            self.lines.append(f"{column} = backend.unstack({self.expression(leaf)})")
        for i in range(len(scanned[0].value)):
            results = f"results_{names[0]}_{i}"
            slices = [f"{column}[{i}]" for column in columns]
            self.lines.append(f"{results} = {function}({', '.join([*carry, *slices, *constants])})")
            carry = [f"{results}[{k}]" for k in range(n)]
        self.lines += [f"{name} = {last}" for name, last in zip(names[:n], carry, strict=True)]
        for k, name in enumerate(names[n:], n):
            column = "".join(f"results_{names[0]}_{i}[{k}], " for i in range(len(scanned[0].value)))
            self.lines.append(f"{name} = backend.stack(({column}), 0)")


def _pieces(x: np.ndarray, sizes: tuple[int, ...], axis: int) -> list[tuple[slice, ...]]:
    """What a split takes apart, as indices of `x`."""
    ends = list(itertools.accumulate(sizes))
    before = (slice(None),) * (axis % x.ndim)
    return [(*before, slice(end - size, end)) for size, end in zip(sizes, ends)]


def _index(key: Any) -> str:
    """An index as it is written between brackets."""
    if isinstance(key, tuple):
        return ", ".join(map(_index, key))
    if isinstance(key, slice):
        return ":".join("" if part is None else str(part) for part in (key.start, key.stop, key.step or 1))
    return "..." if key is Ellipsis else str(key)
