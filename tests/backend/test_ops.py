"""Every op on every engine, value and gradient, against NumPy in float64."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from op_cases import DIFFERENTIABLE, DISCRETE
from parity import assert_close, assert_parity, compiled, reference, single, uncompiled

from rlzoo.backend import ops

VERBS = {"backend_of", "value_and_grad", "fold"}
OPS = {
    name
    for name, function in inspect.getmembers(ops, inspect.isfunction)
    if function.__module__ == ops.__name__ and not name.startswith("_") and name not in VERBS
}
COMPOSED = {"clip", "lerp", "adam"}  # of other ops, where an engine has no better
WITHOUT_REFERENCE = {
    "stop_gradient",  # finite differences see through it: test_gradients.py
    "adam",  # has no gradient: nn/test_optimizers.py
}


def discrete(inputs):
    return {name: function(*inputs[name]) for name, (function, *_) in DISCRETE.items()}


DISCRETE_INPUTS = {name: arrays for name, (_, *arrays) in DISCRETE.items()}


def test_every_op_has_a_case():
    covered = {name.split()[0] for name in (*DIFFERENTIABLE, *DISCRETE)}
    assert sorted(OPS - covered - WITHOUT_REFERENCE) == []


def test_compiled_values_and_gradients(engine):
    assert_parity(engine, DIFFERENTIABLE)


def test_eager_values_and_gradients(eager):
    assert_parity(eager, DIFFERENTIABLE, run=uncompiled)


@pytest.mark.parametrize("run", [compiled, uncompiled])
def test_discrete_values_and_types(engine, run):
    actual, expected = run(engine, discrete, DISCRETE_INPUTS), reference(discrete, DISCRETE_INPUTS)
    assert_close(actual, expected, tolerance=1e-7)
    assert {name: output.dtype for name, output in actual.items()} == {
        name: output.dtype for name, output in single(expected).items()
    }


def test_each_engine_offers_every_op(engine):
    offered = {"asarray_like" if name == "asarray" else name for name in OPS - COMPOSED}
    verbs = {"value_and_grad", "fold", "compile", "asarray", "view", "device"}
    assert [name for name in sorted(offered | verbs) if not callable(getattr(engine, name, None))] == []


@pytest.mark.parametrize("name, also", [("numpy", {"compile", "asarray", "view", "device"}), ("recorder", set())])
def test_numpy_and_the_recorder_offer_every_op(name, also):
    module = __import__(f"rlzoo.backend.{name}", fromlist=["*"])
    offered = {"asarray_like" if op == "asarray" else op for op in OPS - COMPOSED} | also | {"value_and_grad", "fold"}
    assert [op for op in sorted(offered) if not callable(getattr(module, op, None))] == []


def test_gradients_where_logits_start(engine):
    """At exactly zero, where a network's first outputs often are: softplus rises by a half, relu not at all."""

    def gradients(x):
        return {
            "softplus": ops.value_and_grad(lambda p: (ops.sum(ops.softplus(p[0])), None), [x])[2],
            "relu": ops.value_and_grad(lambda p: (ops.sum(ops.relu(p[0])), None), [x])[2],
        }

    assert_close(compiled(engine, gradients, np.zeros(3)), {"softplus": [np.full(3, 0.5)], "relu": [np.zeros(3)]})


def test_arrays_of_no_engine_are_refused():
    with pytest.raises(TypeError, match="not on list"):
        ops.tanh([1.0, 2.0])
    with pytest.raises(TypeError, match="not on str"):
        ops.add("one", 2.0)
