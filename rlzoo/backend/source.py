"""Writes a recorded program out as flat Python source: what MindSpore, which compiles source from files, is given."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlzoo.backend.recorder import Instruction, Node, Program, _Constant

OPERATORS = dict(add="+", subtract="-", multiply="*", divide="/", less="<", greater=">")


class Module:
    """A module's source as it grows: functions from programs, constants beside them.

    `backend.OP(...)` in the text are calls of the engine's own ops; `value_and_grad` of a body becomes a call of
    `gradient_K`, which the text makes of the function `body_K` by `backend.gradient(body_K, positions)`.
    """

    def __init__(self, backend: str):
        self.text = f"import {backend} as backend\n"
        self.constants: dict[str, np.ndarray] = {}
        self.functions = 0

    def function(self, program: Program, repeat: int = 0) -> str:
        """Write `program` as a function of its inputs and captures that returns a tuple; its name."""
        name = f"body_{self.functions}"
        self.functions += 1
        writer = _Writer(self)
        parameters = [writer.define(node, f"x{i}") for i, node in enumerate((*program.inputs, *program.captures))]
        for instruction in program.instructions:
            writer.write(instruction)
        results = ", ".join(writer.expression(node) for node in program.outputs)
        lines = "".join(f"    {line}\n" for line in writer.lines)
        self.text += f"\n\ndef {name}({', '.join(parameters)}):\n{lines}    return ({results},)\n"
        return name

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name


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
        if isinstance(argument, _Constant):
            return repr(argument.value)
        if isinstance(argument, np.ndarray):
            return self.module.constant(argument)
        if isinstance(argument, np.generic):
            return repr(argument.item())
        if isinstance(argument, tuple | list):
            return f"({''.join(self.expression(item) + ', ' for item in argument)})"
        return repr(argument)

    def write(self, instruction: Instruction) -> None:
        base = len(self.names)
        names = [self.define(node, f"t{base + i}") for i, node in enumerate(instruction.outputs)]
        self.lines.append(f"{', '.join(names)} = {self._right_hand_side(instruction)}")

    def _right_hand_side(self, instruction: Instruction) -> str:
        op = instruction.op
        if op == "constant":
            return self.module.constant(instruction.arguments[0].value)
        arguments = [self.expression(argument) for argument in instruction.arguments]
        if op in OPERATORS:
            return f"{arguments[0]} {OPERATORS[op]} {arguments[1]}"
        if op == "getitem":
            return f"{arguments[0]}[{arguments[1].strip('()')}]"
        if op == "value_and_grad":
            body = instruction.body
            assert body is not None
            name, count = self.module.function(body), len(body.inputs)
            self.module.text += f"\n\ngradient_of_{name} = backend.gradient({name}, {tuple(range(count))})\n"
            values = [f"v{self.lines.__len__()}_{i}" for i in range(len(body.outputs))]
            pieces = [f"g{self.lines.__len__()}_{i}" for i in range(count)]
            self.lines.append(f"values, pieces = gradient_of_{name}({', '.join(arguments)})")
            for i, value in enumerate(values):
                self.lines.append(f"{value} = values[{i}]")
            for i, piece in enumerate(pieces):
                self.lines.append(f"{piece} = pieces[{i}]")
            return ", ".join(values + pieces)
        return f"backend.{op}({', '.join(arguments)})"
