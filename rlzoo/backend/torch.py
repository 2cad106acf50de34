"""PyTorch: programs recorded, then traced without a compiler: for the CPU as TorchScript, for a GPU as CUDA graphs."""

from __future__ import annotations

import operator
import os
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read at import: threads that always spin starve all others,
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # those that never do wake too late: some 30 µs of it are enough

import torch

from rlzoo.backend import numpy as reference
from rlzoo.backend import recorder, staging, torch_graphs, torch_script, tree
from rlzoo.backend.memory import keep_freed_memory
from rlzoo.backend.torch_script import FUSED_ADAM

_differentiating: ContextVar[bool] = ContextVar("_differentiating", default=False)
WORK_OF_ONE_THREAD = 256 * 128 * 128  # multiplications in the largest matrix product, up to which one thread is faster

add, subtract, multiply, divide, power = (
    operator.add, operator.sub, operator.mul, operator.truediv, operator.pow,
)  # fmt: skip
equal, less, greater = torch.eq, torch.lt, torch.gt
not_equal, less_equal, greater_equal = torch.ne, torch.le, torch.ge  # recorded operators, as the next
bitwise_and, bitwise_or, bitwise_invert = torch.bitwise_and, torch.bitwise_or, torch.bitwise_not
abs, negative, exp, log, sqrt, square = torch.abs, torch.neg, torch.exp, torch.log, torch.sqrt, torch.square
sigmoid, softplus, relu = torch.sigmoid, torch.nn.functional.softplus, torch.relu
matmul, reshape, permute_dims, expand_dims, broadcast_to = (
    torch.matmul, torch.reshape, torch.permute, torch.unsqueeze, torch.broadcast_to,
)  # fmt: skip
squeeze, zeros_like, stack, concat, split = torch.squeeze, torch.zeros_like, torch.stack, torch.cat, torch.split
where = torch.where


def minimum(x, y):
    if not isinstance(x, torch.Tensor):
        x, y = y, x
    return torch.minimum(x, y) if isinstance(y, torch.Tensor) else torch.clamp(x, max=y)


def maximum(x, y):
    if not isinstance(x, torch.Tensor):
        x, y = y, x
    return torch.maximum(x, y) if isinstance(y, torch.Tensor) else torch.clamp(x, min=y)


class _Tanh(torch.autograd.Function):
    """2σ(2x) − 1, within 2e-7 of the tanh: on the CPU torch's own takes three times as long."""

    @staticmethod
    def forward(x):
        return torch.add(torch.tensor(-1.0, dtype=x.dtype), torch.sigmoid(x + x), alpha=2)

    @staticmethod
    def setup_context(context, inputs, output):
        context.save_for_backward(output)

    @staticmethod
    def backward(context, gradient):
        return torch.ops.aten.tanh_backward(gradient, *context.saved_tensors)


def tanh(x):
    return _Tanh.apply(x) if x.device.type == "cpu" else torch.tanh(x)


def sum(x, axis, keepdims):
    dtype = None if x.is_floating_point() else torch.int32
    return torch.sum(x, dtype=dtype) if axis is None and not keepdims else torch.sum(x, axis, keepdims, dtype=dtype)


def mean(x, axis, keepdims):
    x = x if x.is_floating_point() else x.float()
    return torch.mean(x) if axis is None and not keepdims else torch.mean(x, dim=axis, keepdim=keepdims)


def max(x, axis, keepdims):
    return torch.amax(x, dim=axis, keepdim=keepdims)


def argmax(x, axis):
    return torch.argmax(x, dim=axis).to(torch.int32)


def sort(x):
    return torch.sort(x, dim=-1)[0]


def logsumexp(x, axis):
    return torch.logsumexp(x, dim=axis)


def log_softmax(x):
    return torch.log_softmax(x, -1)


def softmax(x):
    return torch.softmax(x, -1)


def astype(x, dtype):
    return x.to(getattr(torch, dtype))


def asarray_like(value, like):
    value = value if isinstance(value, torch.Tensor) else reference.asarray_like(value)
    return torch.as_tensor(value, device=like.device)


def stop_gradient(x):
    return x.detach()


def linear(x, kernel, bias):
    return torch.addmm(bias, x, kernel) if x.ndim == 2 else x @ kernel + bias


lerp = torch.lerp


def adam(flat, gradient, first, second, count, learning_rate, beta1, beta2, epsilon, weight_decay):
    lists = [[x] for x in (flat, gradient, first, second)]
    settings = dict(beta1=beta1, beta2=beta2, weight_decay=weight_decay, eps=epsilon, amsgrad=False, maximize=False)
    flat, _, first, second, _ = FUSED_ADAM(*lists, [], [count], lr=learning_rate, **settings)
    return flat[0], first[0], second[0]


def conv2d(x, kernel, stride):
    x, kernel = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
    if x.is_cuda or len(kernel) == 1:  # channels last are slow in exact float32 there, and refused for one filter
        x, kernel = x.contiguous(), kernel.contiguous()
    return torch.nn.functional.conv2d(x, kernel, stride=stride).permute(0, 2, 3, 1)


def take(x, indices, axis):
    axis = axis % x.ndim
    taken = torch.index_select(x, axis, indices.reshape(-1))
    return taken.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def one_hot(indices, depth):
    return (indices.unsqueeze(-1) == torch.arange(depth, device=indices.device)).to(torch.float32)


def value_and_grad(function, arrays):
    # Not by torch.func, which imports PyTorch's compiler, and that takes over a second.
    nested = _differentiating.get()  # what is given is differentiated again
    token = _differentiating.set(True)
    try:
        with torch.enable_grad():
            pieces = [x.view_as(x) if x.requires_grad else x.detach().requires_grad_() for x in arrays]
            value, auxiliary = function(pieces)
            gradients = torch.autograd.grad(
                value, pieces, create_graph=nested, allow_unused=True, materialize_grads=True
            )  # fmt: skip
    finally:
        _differentiating.reset(token)
    if not nested:
        value, auxiliary = value.detach(), tree.map(lambda x: x.detach(), auxiliary)
    return value, auxiliary, list(gradients)


def fold(step, carry, inputs, constants):
    return tree.loop(step, carry, inputs, constants, torch.stack)


def compile(function, device="cpu", donate=False):
    keep_freed_memory()
    on_gpu = device == "cuda"
    pieces: Any = torch_graphs if on_gpu else torch_script
    straight, loop = (partial(piece, sys.modules[__name__]) for piece in (pieces.straight, pieces.loop))
    staged = {}

    def run(*arguments):
        leaves, structure = tree.flatten(arguments)
        leaves = torch_graphs.asarrays(leaves) if on_gpu else [asarray(leaf) for leaf in leaves]
        key = (structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
        with torch.inference_mode():  # calls cost a tenth less than under no_grad
            if key not in staged:
                examples = [leaf.cpu().numpy() for leaf in leaves]
                program = recorder.record(function, tree.unflatten(structure, examples))
                threads = 1 if staging.largest_product(program) <= WORK_OF_ONE_THREAD else torch.get_num_threads()
                staged[key] = staging.stage(program, straight, loop), program.structure, threads
            call, result, threads = staged[key]
            run.threads = threads  # type: ignore[attr-defined]
            with _threads(threads):
                return tree.unflatten(result, call(leaves))

    return run


@contextmanager
def _threads(count):
    """Run with this many threads, and leave the process as it was: small networks lose by a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def asarray(x, device="cpu"):
    if isinstance(x, torch.Tensor):
        return x
    x = np.asarray(x)
    return torch.from_numpy(x if x.flags.writeable else x.copy()).to(device)  # torch knows no read-only tensors


def view(x):
    return torch_graphs.pinned(x.detach()).numpy() if x.is_cuda else x.detach().numpy()


def device(name):
    has_gpu = torch.cuda.is_available()
    return {"auto": "cuda" if has_gpu else "cpu", "cuda": "cuda" if has_gpu else None}.get(name, name)
