"""Recorded programs on a GPU by PyTorch: traced, then recorded as CUDA graphs, whose replays cost one launch each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from rlzoo.backend.torch_script import FUSED_ADAM
from rlzoo.backend.torch_trace import traced

ALIGNMENT = 256  # bytes, at which arrays begin in what is moved to the GPU at once
LARGE = 1 << 16  # numbers, of which what works on lists of arrays gives each to one processor alone
PIECES = 96  # into which they are cut for it
WARM_UPS = 3  # calls before a recording, in which libraries choose and allocate


def asarrays(leaves):
    """Arrays, NumPy's or tensors, as tensors on the GPU; NumPy's by one transfer from pinned memory."""
    places = [i for i, leaf in enumerate(leaves) if not isinstance(leaf, torch.Tensor)]
    if not places:
        return leaves
    arrays = [np.ascontiguousarray(leaves[i]).reshape(np.shape(leaves[i])) for i in places]
    ends = np.cumsum([-(-array.nbytes // ALIGNMENT) * ALIGNMENT for array in arrays]).tolist()
    block = _pinned(ends[-1])
    for array, start in zip(arrays, [0, *ends]):
        block.numpy()[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
    moved, tensors = _moved(block), list(leaves)
    for i, array, start in zip(places, arrays, [0, *ends]):
        dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
        tensors[i] = moved[start : start + array.nbytes].view(dtype).reshape(array.shape)
    return tensors


def _pinned(size):
    return torch.empty(size, dtype=torch.uint8, pin_memory=True)


def _moved(block):
    return block.to("cuda", non_blocking=True)  # PyTorch keeps the pinned block until it has been read


def pinned(x):
    """A tensor of the GPU, copied to pinned memory."""
    return _pinned(x.nbytes).view(x.dtype).reshape(x.shape).copy_(x)


def straight(engine, program):
    """A straight program, traced and recorded on the first arrays it is called with."""
    recording = None

    def call(*arrays):
        nonlocal recording
        if recording is None:
            function, given = _function(engine, program, arrays), _copies(arrays)
            recording = given, *_recorded(lambda: function(*given))
        given, results, replay = recording
        _fill(given, arrays)
        replay()
        return _copies(results)

    return call


def loop(engine, instruction):
    """A fold: its step is recorded with the reading of its inputs and the writing of its outputs, and replayed."""
    carried, scanned, _ = instruction.arguments
    n, end = len(carried), len(carried) + len(scanned)
    recording = None

    def call(*arrays):
        nonlocal recording
        if recording is None:
            recording = _recorded_step(engine, instruction.body, arrays, n, end)
        given, position, outputs, replay = recording
        _fill(given, arrays)
        position.zero_()
        for _ in range(len(arrays[n])):
            replay()
        return _copies([*given[:n], *outputs])

    return call


def _recorded_step(engine, body, arrays, n, end):
    """What one step reads and writes, which stays where it is, and what replays the step."""
    step = _function(engine, body, [*arrays[:n], *(x[0] for x in arrays[n:end]), *arrays[end:]])
    given = _copies(arrays)
    carry, inputs, constants = given[:n], given[n:end], given[end:]
    position = torch.zeros(1, dtype=torch.int64, device=arrays[n].device)
    outputs = [x.new_empty((len(inputs[0]), *x.shape)) for x in step(*carry, *(x[0] for x in inputs), *constants)[n:]]

    def run():
        results = step(*carry, *(x.index_select(0, position)[0] for x in inputs), *constants)
        for rows, row in zip(outputs, results[n:], strict=True):
            rows.index_copy_(0, position, row[None])
        for place, result in zip(carry, _copies(results[:n]), strict=True):  # a result may be another number's place
            place.copy_(result)
        position.add_(1).remainder_(len(inputs[0]))  # warming up takes steps too

    _, replay = _recorded(run)
    return given, position, outputs, replay


def _function(engine, program, arrays):
    """A straight program as a function of PyTorch's operators, with its constants on the GPU."""
    module, device = traced(engine, program, arrays, {FUSED_ADAM: _fused_adam}), arrays[0].device
    for node in module.graph.nodes:
        if node.op == "get_attr":
            setattr(module, node.target, getattr(module, node.target).to(device))
    return module


def _fused_adam(flat, gradient, first, second, largest, count, **settings):
    """`adam` on copies of what is written to, cut into pieces for as many processors."""
    flat, first, second = flat[0].clone(), first[0].clone(), second[0].clone()
    length = max(flat.numel() // PIECES // 1024 * 1024, 1024)
    pieces = [list(x.split(length)) for x in (flat, gradient[0], first, second)]
    torch.ops.aten._fused_adamw_.tensor_lr(*pieces, largest, count * len(pieces[0]), **settings)
    return [flat], gradient, [first], [second], largest


def _copies(arrays):
    return [array.clone(memory_format=torch.contiguous_format) for array in arrays]


def _fill(places, arrays):
    """Copies arrays into places: small ones of one type at once."""
    small: dict[Any, Any] = {}
    for place, array in zip(places, arrays, strict=True):
        if place.numel() > LARGE:
            place.copy_(array)
        else:
            kept, given = small.setdefault(place.dtype, ([], []))
            kept.append(place)
            given.append(array)
    for kept, given in small.values():
        torch._foreach_copy_(kept, given)


def _recorded(function):
    """What `function` gives, in places that replaying it writes anew, and what replays it.

    Kernels are chosen here once: exact ones, that give the same each time.
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = function()
    return results, graph.replay
