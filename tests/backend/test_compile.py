"""`compile`: trees in, trees out, traced once for a shape, from any kind of program."""

from __future__ import annotations

import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from parity import assert_close, compiled

from rlzoo.backend import Engine, ops

Pair = namedtuple("Pair", "left right")


def single(*values):
    return np.array(values, np.float32)


def test_trees_keep_their_kind_and_order(engine):
    def function(state, pair):
        order = ops.concat([state[key] for key in state])  # a dict's order is part of what it says
        return {"z": state["z"] + 1.0, "a": [Pair(pair.right, pair.left), None, (order,)]}

    result = compiled(engine, function, {"z": single(1), "b": single(2), "a": single(3)}, Pair(single(4), single(5)))
    expected = {"z": single(2), "a": [Pair(single(5), single(4)), None, (single(1, 2, 3),)]}
    assert_close(result, expected, 0.0)
    assert isinstance(result["a"][0], Pair) and isinstance(result["a"], list) and result["a"][1] is None


def test_one_trace_for_a_shape_and_numbers_are_not_frozen(engine):
    traces = []

    def function(x, rate):
        traces.append(x.shape)
        return x * rate

    call = engine.compile(function)
    for rate in (0.5, 0.25, 2.0):
        np.testing.assert_array_equal(engine.view(call(single(1, 2), np.float32(rate))), single(1, 2) * rate)
    assert len(traces) == 1
    np.testing.assert_array_equal(engine.view(call(single(1, 2, 3), np.float32(3))), single(3, 6, 9))
    assert len(traces) == 2


def test_results_can_be_handed_in_again(engine):
    call = engine.compile(lambda x, y: {"x": x + y, "y": y * 2.0})
    state = {"x": single(0, 0), "y": single(1, 2)}
    for _ in range(5):
        state = call(state["x"], state["y"])
    np.testing.assert_array_equal(engine.view(state["x"]), single(31, 62))


def test_numpy_copies_stay_as_they_were(engine):
    """A donated or shared buffer must not change under what was read from it."""
    call = engine.compile(lambda x: x + 1.0)
    state = call(single(1, 2))
    kept = Engine(engine.__name__.rpartition(".")[2], "cpu").to_numpy(state)
    for _ in range(3):
        state = call(state)
    kept += 0.0  # and it can be written
    np.testing.assert_array_equal(kept, single(2, 3))


SCRIPT = """
import numpy as np
from rlzoo.backend import mindspore, ops
call = mindspore.compile(lambda x: ops.value_and_grad(lambda p: (ops.sum(p[0] * p[0]), None), [x])[2][0] + 1.0)
print(mindspore.view(call(np.array([1, 2], np.float32))).tolist())
"""


@pytest.mark.filterwarnings("error:.*not writable")
def test_read_only_arrays_are_taken(engine):
    """As an agent's parameters are: without a word, and unchanged."""
    x = single(1, 2)
    x.flags.writeable = False
    call = engine.compile(lambda x: x * 2.0)
    np.testing.assert_array_equal(engine.view(call(x)), [2.0, 4.0])
    np.testing.assert_array_equal(engine.view(engine.asarray(x)), x)


@pytest.mark.parametrize("how", ["-", "-c"])
def test_mindspore_compiles_what_has_no_source_file(mindspore, how):
    """As in a notebook or at the prompt: MindSpore reads source files, so the source must be written by us."""
    arguments = [sys.executable, "-"] if how == "-" else [sys.executable, "-c", SCRIPT]
    script = SCRIPT if how == "-" else None
    done = subprocess.run(arguments, input=script, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["[3.0, 5.0]"], done.stderr[-2000:]


def test_each_call_gives_the_same_bits(engine):
    """MindSpore tries several numbers of threads on the first calls, and its logarithm and its long sums told them."""
    x, long = np.random.default_rng(0).uniform(0.1, 2.0, (7, 13)), np.random.default_rng(1).standard_normal(200_003)
    functions = ops.exp, ops.log, ops.sigmoid, ops.tanh, ops.softplus, ops.logsumexp, ops.log_softmax, ops.sqrt
    call = engine.compile(lambda x, long: [*(function(x) for function in functions), ops.sum(long), ops.mean(long)])
    arguments = x.astype(np.float32), long.astype(np.float32)
    first, *others = ([np.array(engine.view(output)) for output in call(*arguments)] for _ in range(20))
    np.testing.assert_allclose(first[1], np.log(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(first[-2:], [long.sum(), long.mean()], rtol=1e-4, atol=1e-6)
    for other in others:
        for output, same in zip(first, other, strict=True):
            np.testing.assert_array_equal(output, same)
