"""Recorded programs on PyTorch: traced without a compiler, then traced again as TorchScript, folds as loops."""

from __future__ import annotations

import warnings
from functools import lru_cache

import torch

from rlzoo.backend.torch_trace import traced

FUSED_ADAM = torch.ops.aten._fused_adamw.tensor_lr
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
WORK_OF_ONEDNN = 256 * 64 * 64  # multiplications of a matrix product, above which oneDNN's is faster than MKL's
PROFILED = 3  # calls of a program after which TorchScript does not change it any more


@torch.inference_mode(False)
@torch.no_grad()
def _scripted(engine, program, arrays):
    """What `torch.jit.trace` makes of a program, but freed when it is dropped: that keeps all, 5 MB of each agent."""
    module = traced(engine, program, arrays, IN_PLACE_OF)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of constants: they are meant to be
        arrays = tuple(array.clone() for array in arrays)
        graph, _ = torch._C._create_graph_by_tracing(lambda *inputs: module(*inputs), arrays, _no_name, True, False)
    return torch._C._create_function_from_graph("program", graph)


def _no_name(array):
    """The name of an array's variable, which the tracer asks for."""
    return ""


def straight(engine, program):
    """A straight program as TorchScript, traced on the first arrays it is called with.

    TorchScript profiles its first calls and changes the program after them, so that a resumed run would differ: those
    calls are made here, and what they give is forgotten.
    """
    script = None

    def call(*arrays):
        nonlocal script
        if script is None:
            script = _scripted(engine, program, arrays)
            for _ in range(PROFILED):
                script(*arrays)
        return script(*arrays)

    return call


def loop(engine, instruction):
    """A fold as a loop over its step."""
    carried, scanned, _ = instruction.arguments
    n, end = len(carried), len(carried) + len(scanned)
    step = straight(engine, instruction.body)

    def call(*arrays):
        carry, inputs, constants = arrays[:n], arrays[n:end], arrays[end:]
        outputs = []
        for slices in zip(*(leaf.unbind(0) for leaf in inputs), strict=True):
            result = step(*carry, *slices, *constants)
            carry = result[:n]
            outputs.append(result[n:])
        return [*carry, *(torch.stack(column) for column in zip(*outputs, strict=True))]

    return call


# ---- what the tracer is given in place of operators it refuses or that are slow: scripted calls ---------------------
def _convolution_backward(gradient, x, kernel, bias_sizes, stride, *others):
    """The gradients of `conv2d`: the tracer refuses the operator's list of booleans."""
    return _functions()["conv2d_gradients"](gradient, x, kernel, stride[0], others[-1][0])


def _fused_adam(flat, gradient, first, second, largest, count, *, lr, beta1, beta2, weight_decay, eps, **others):
    """`adam` on copies of what is written to: the operator copies all it is given."""
    arrays = flat[0], gradient[0], first[0], second[0], count[0], lr
    flat, first, second = _functions()["adam"](*arrays, beta1, beta2, eps, weight_decay)
    return [flat], gradient, [first], [second], largest


def _matmul(x, y):
    """x @ y. On AMD's processors, to which MKL gives AVX2 only, oneDNN takes half as long."""
    if not _is_for_onednn(x, y):
        return torch.ops.aten.mm(x, y)
    linear = _functions()["onednn_linear"]  # copies its first matrix unless it lies row by row: so the smaller one
    return linear(x, y.t(), None) if x.is_contiguous() or x.shape[0] <= y.shape[1] else linear(y.t(), x, None).t()


def _matmul_and_add(bias, x, y):
    """x @ y + bias."""
    if not _is_for_onednn(x, y):
        return torch.ops.aten.addmm(bias, x, y)
    return _functions()["onednn_linear"](x, y.t(), bias)


def _is_for_onednn(x, y):
    work = x.shape[0] * x.shape[1] * y.shape[1]
    return HAS_ONEDNN and work > WORK_OF_ONEDNN and x.dtype == torch.float32


IN_PLACE_OF = {
    torch.ops.aten.mm.default: _matmul,
    torch.ops.aten.addmm.default: _matmul_and_add,
    torch.ops.aten.convolution_backward.default: _convolution_backward,
    FUSED_ADAM: _fused_adam,
    torch.ops.aten.view.default: torch.ops.aten.reshape.default,  # what the fuser makes may lie otherwise in memory
}


@lru_cache(maxsize=1)
def _functions():
    def conv2d_gradients(gradient: torch.Tensor, x: torch.Tensor, kernel: torch.Tensor, stride: int, of_x: bool):
        for_x, for_kernel, _ = torch.ops.aten.convolution_backward(
            gradient, x, kernel, None, [stride, stride], [0, 0], [1, 1], False, [0, 0], 1, [of_x, True, False]
        )
        return for_x if of_x else for_kernel, for_kernel  # what is not wanted is undefined, which no tracer takes

    def adam(flat: torch.Tensor, gradient: torch.Tensor, first: torch.Tensor, second: torch.Tensor,
             count: torch.Tensor, lr: torch.Tensor,
             beta1: float, beta2: float, epsilon: float, decay: float):  # fmt: skip
        flats, firsts, seconds = [flat.clone()], [first.clone()], [second.clone()]
        torch.ops.aten._fused_adamw_(
            flats, [gradient], firsts, seconds, [], [count], lr=lr, beta1=beta1, beta2=beta2,
            weight_decay=decay, eps=epsilon, amsgrad=False, maximize=False,
        )  # fmt: skip
        return flats[0], firsts[0], seconds[0]  # to TorchScript the lists are what was written to

    def onednn_linear(x: torch.Tensor, y: torch.Tensor, bias: torch.Tensor | None):
        """x @ yᵀ + bias."""
        none: list[int | float | complex | None] = []
        return torch.ops.mkldnn._linear_pointwise(x, y, bias, "none", none, "")

    functions = (conv2d_gradients, adam, *((onednn_linear,) if HAS_ONEDNN else ()))
    return {function.__name__: torch.jit.script(function) for function in functions}
