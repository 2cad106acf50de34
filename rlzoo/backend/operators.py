"""What Python's operators and NumPy's functions come to on a recorded array: an op, or an error that names the mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rlzoo.backend import ops
from rlzoo.backend.dispatch import backend_of
from rlzoo.errors import UserError

ARITHMETIC = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "matmul": "matmul", "pow": "power",
    "and": "bitwise_and", "or": "bitwise_or",
}  # fmt: skip
COMPARISONS = {
    "lt": "less", "gt": "greater", "eq": "equal", "le": "less_equal", "ge": "greater_equal", "ne": "not_equal",
}  # fmt: skip
UNARY = {"neg": "negative", "abs": "abs", "invert": "bitwise_invert"}
_OF_NUMPY: dict[Any, str] = {getattr(np, name): name for name in (*ARITHMETIC.values(), *COMPARISONS.values())}
_OTHER_NAMES = {"absolute": "abs", "concatenate": "concat", "transpose": "permute_dims"}


class Operators:
    """The base of a recorded array: operators are noted, its value is not to be had."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise TypeError("a value inside a compiled function is not known in Python: use ops.where instead of if")

    def __float__(self) -> float:
        raise UserError("a number inside a compiled function is not known in Python: compute with ops, and return it")

    __int__: Any = __float__
    __index__: Any = __float__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        """What NumPy makes of `array + node`, which is noted, and of its own functions, which are refused."""
        is_operator = ufunc in _OF_NUMPY and method == "__call__" and not isinstance(inputs[0], Operators)
        if is_operator and not keywords:
            return getattr(backend_of(self), _OF_NUMPY[ufunc])(*inputs)
        raise _refusal(ufunc.__name__)

    def __array_function__(self, function: Any, types: Any, arguments: Any, keywords: Any) -> Any:
        raise _refusal(function.__name__)

    def __array__(self, *arguments: Any, **keywords: Any) -> Any:
        raise _refusal("asarray")


def _refusal(name: str) -> UserError:
    op = _OTHER_NAMES.get(name, name)
    mend = f"ops.{op}" if name != "asarray" and op in vars(ops) else "what there is in ops"
    return UserError(f"np.{name} cannot take an array of a compiled function, not known yet in Python: use {mend}")


def _operator(name: str, swapped: bool = False) -> Callable[..., Any]:
    if swapped:
        return lambda self, other: getattr(backend_of(self), name)(other, self)
    return lambda self, *other: getattr(backend_of(self), name)(self, *other)


for _symbol, _name in (ARITHMETIC | COMPARISONS | UNARY).items():
    setattr(Operators, f"__{_symbol}__", _operator(_name))
    if _symbol in ARITHMETIC:
        setattr(Operators, f"__r{_symbol}__", _operator(_name, swapped=True))
Operators.__hash__ = object.__hash__  # type: ignore[method-assign]  # nodes are kept in dicts by what they are
