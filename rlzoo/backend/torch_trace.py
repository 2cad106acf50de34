"""Traces a recorded program into a graph of PyTorch's operators, gradients included.

PyTorch's own `make_fx` would do it too, but imports its compiler first, which takes over a second.
"""

from __future__ import annotations

import operator

import torch
from torch.fx import Graph, GraphModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from rlzoo.backend import staging


@torch.inference_mode(False)  # what is differentiated must not be of that mode
@torch.no_grad()
def traced(engine, program, arrays, in_place_of):
    """A straight program as a graph of PyTorch's operators, some put in the place of others.

    `engine` is the backend module whose ops the program is run by.
    """
    arrays = [array.clone() for array in arrays]
    tracer = _Tracer(in_place_of)
    inputs = [tracer.graph.placeholder(f"input_{i}") for i in range(len(arrays))]
    tracer.note(arrays, inputs)
    with tracer:
        results = staging.run(program, engine, arrays)
    tracer.graph.output(tuple(tracer.node_of(x) for x in results))
    tracer.graph.eliminate_dead_code()
    return GraphModule(tracer.constants, tracer.graph)


class _Tracer(TorchDispatchMode):
    """Writes down each operator that runs, below the differentiation, whose own operators are so among them."""

    def __init__(self, in_place_of):
        super().__init__()
        self.graph, self.constants = Graph(), torch.nn.Module()
        self._in_place_of = in_place_of
        self._nodes = {}  # by a tensor's id, with the tensor, so that no other gets its id

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # else it is imported, to be told to keep out of here

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        results = function(*arguments, **(keywords or {}))
        arguments, keywords = tree_map(self.node_of, (tuple(arguments), keywords or {}))
        node = self.graph.call_function(self._in_place_of.get(function, function), arguments, keywords)
        self.note(results, node)
        return results

    def note(self, tensors, node):
        """That this node, or each of several, gives this tensor, or these."""
        if isinstance(tensors, torch.Tensor):
            self._nodes[id(tensors)] = tensors, node
        elif isinstance(tensors, list | tuple):
            for i, tensor in enumerate(tensors):
                of_it = node[i] if isinstance(node, list) else self.graph.call_function(operator.getitem, (node, i))
                self.note(tensor, of_it)

    def node_of(self, x):
        """The node that gave a tensor; of one that none gave, a constant; whatever else is given back."""
        if not isinstance(x, torch.Tensor):
            return x
        if id(x) not in self._nodes:
            name = f"constant_{len(list(self.constants.buffers()))}"
            self.constants.register_buffer(name, x)
            self.note(x, self.graph.get_attr(name))
        return self._nodes[id(x)][1]
